//! The user that a client's certificate names: `tls-auth-clients-user`.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Where in a certificate the user's name stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserField {
    /// The first common name of the subject.
    CommonName,
    /// The URIs of the subject's other names.
    Uri,
}

impl UserField {
    /// Reads the directive's word; `None` where certificates name no user.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "CN" => Some(Self::CommonName),
            "URI" => Some(Self::Uri),
            _ => None,
        }
    }

    /// The names in a certificate, which has been checked; none in one that cannot be read.
    pub fn names_in(self, certificate: &[u8]) -> Vec<String> {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
        let names: Vec<String> = match self {
            Self::CommonName => {
                let first = certificate.subject().iter_common_name().next();
                first.and_then(|name| name.as_str().ok()).map(str::to_owned).into_iter().collect()
            }
            Self::Uri => {
                let others = certificate.subject_alternative_name().ok().flatten();
                let others = others.iter().flat_map(|names| &names.value.general_names);
                let uris = others.filter_map(|name| match name {
                    GeneralName::URI(uri) => Some((*uri).to_owned()),
                    _ => None,
                });
                uris.collect()
            }
        };
        names.into_iter().filter(|name| !name.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_found_where_they_stand() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "alice");
        let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
        let host = SanType::DnsName("host.example".try_into().expect("ASCII"));
        params.subject_alt_names = vec![uri("urn:bob"), host, uri("urn:carol")];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(UserField::CommonName.names_in(certificate.der()), ["alice"]);
        assert_eq!(UserField::Uri.names_in(certificate.der()), ["urn:bob", "urn:carol"]);
        assert!(UserField::Uri.names_in(b"no certificate").is_empty());
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        let certificate = params.self_signed(&key).expect("a certificate");
        assert!(UserField::CommonName.names_in(certificate.der()).is_empty());
        assert!(UserField::Uri.names_in(certificate.der()).is_empty());
        assert_eq!(UserField::of_word("off"), None);
    }
}
