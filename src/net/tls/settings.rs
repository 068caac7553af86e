//! What the configuration says of TLS, gathered so that it can be compared and tried out before it is taken
//! over.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SupportedCipherSuite;
use rustls::pki_types::DnsName;

use super::{TlsError, ciphers};
use crate::config::{Change, Config, Directive};

/// Sessions kept at most, and when `tls-session-cache-size` is 0, which means no limit. Room for all is taken
/// at once.
const MAX_SESSIONS: usize = 1 << 16;
/// Names every certificate the server makes is good for.
const LOCAL_NAMES: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// What is asked of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// No certificate.
    No,
    /// A good one or none.
    Optional,
    /// A good one.
    Required,
}

/// The directives that TLS depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsSettings {
    /// Certificate chain and key of the user; without them the server makes its own.
    pub own: Option<OwnFiles>,
    /// Certificate chain and key of the user for connections that the server opens itself, where they are not
    /// `own`.
    pub of_client: Option<OwnFiles>,
    /// Certificates that vouch for clients.
    pub client_authority_file: Option<PathBuf>,
    /// Folder of such certificates.
    pub client_authority_dir: Option<PathBuf>,
    /// What is asked of clients. Without a certificate of the user's it is [`ClientCertificates::No`], since
    /// nobody could have one that the server knows.
    pub client_certificates: ClientCertificates,
    /// Whether TLS 1.2 and TLS 1.3 are allowed.
    pub versions: Versions,
    /// The cipher suites allowed, of both versions, in the server's order.
    pub ciphers: Vec<SupportedCipherSuite>,
    /// Whether the server's order counts, rather than the client's.
    pub prefers_own_order: bool,
    /// File of Diffie-Hellman parameters. No supported suite uses them; a file that holds none is refused all
    /// the same.
    pub parameters_file: Option<PathBuf>,
    /// Folder of the server's own authority.
    pub folder: PathBuf,
    /// Names for a certificate the server makes: host names in small letters, and addresses.
    pub names: Vec<String>,
    /// Sessions kept for resumption, 0 for none.
    pub sessions: usize,
}

/// Files of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// The versions of TLS that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.2.
    pub tls12: bool,
    /// TLS 1.3.
    pub tls13: bool,
}

impl TlsSettings {
    /// What the configuration says.
    ///
    /// # Errors
    /// When a directive cannot be made sense of; no file is read.
    pub fn of(config: &Config) -> Result<Self, TlsError> {
        Self::with_changes(config, &[])
    }

    /// What the configuration will say after these changes.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn with_changes(config: &Config, changes: &[Change]) -> Result<Self, TlsError> {
        let lookup = |directive: Directive| -> Arc<str> {
            match changes.iter().find(|change| change.directive == directive) {
                Some(change) => Arc::from(String::from_utf8_lossy(&change.text()).as_ref()),
                None => config.text(directive),
            }
        };
        Self::read(&lookup)
    }

    fn read(text: &impl Fn(Directive) -> Arc<str>) -> Result<Self, TlsError> {
        let dir = PathBuf::from(&*text(Directive::Dir));
        let path = |directive: Directive| {
            let path = text(directive);
            (!path.is_empty()).then(|| dir.join(&*path))
        };
        let own = match (path(Directive::TlsCertFile), path(Directive::TlsKeyFile)) {
            (Some(certificate), Some(key)) => Some(OwnFiles { certificate, key }),
            (None, None) => None,
            _ => return Err(TlsError::HalfPair),
        };
        let of_client = match (path(Directive::TlsClientCertFile), path(Directive::TlsClientKeyFile)) {
            (Some(certificate), Some(key)) => Some(OwnFiles { certificate, key }),
            _ => None,
        };
        let client_certificates = match &*text(Directive::TlsAuthClients) {
            _ if own.is_none() => ClientCertificates::No,
            "no" => ClientCertificates::No,
            "optional" => ClientCertificates::Optional,
            _ => ClientCertificates::Required,
        };
        let client_authority_file = path(Directive::TlsCaCertFile);
        let client_authority_dir = path(Directive::TlsCaCertDir);
        if client_certificates != ClientCertificates::No
            && client_authority_file.is_none()
            && client_authority_dir.is_none()
        {
            return Err(TlsError::NoClientAuthority);
        }
        let sessions = match &*text(Directive::TlsSessionCaching) {
            "yes" => match text(Directive::TlsSessionCacheSize).parse() {
                Ok(0) | Err(_) => MAX_SESSIONS,
                Ok(sessions) => MAX_SESSIONS.min(sessions),
            },
            _ => 0,
        };
        Ok(Self {
            own,
            of_client,
            client_authority_file,
            client_authority_dir,
            client_certificates,
            versions: versions(&text(Directive::TlsProtocols))?,
            ciphers: ciphers::chosen(&text(Directive::TlsCiphers), &text(Directive::TlsCiphersuites))?,
            prefers_own_order: &*text(Directive::TlsPreferServerCiphers) == "yes",
            parameters_file: path(Directive::TlsDhParamsFile),
            folder: dir.join("tls"),
            names: names(text)?,
            sessions,
        })
    }
}

fn versions(protocols: &str) -> Result<Versions, TlsError> {
    let mut versions = Versions { tls12: false, tls13: false };
    if protocols.trim().is_empty() {
        return Ok(Versions { tls12: true, tls13: true });
    }
    for protocol in protocols.split_whitespace() {
        match protocol.to_ascii_lowercase().as_str() {
            "tlsv1.2" => versions.tls12 = true,
            "tlsv1.3" => versions.tls13 = true,
            // Known to Valkey and never offered here; beside a newer version they may stand.
            "tlsv1" | "tlsv1.1" => {}
            _ => return Err(TlsError::UnknownProtocol(protocol.to_owned())),
        }
    }
    match versions {
        Versions { tls12: false, tls13: false } => Err(TlsError::NoProtocol),
        versions => Ok(versions),
    }
}

/// The names for a certificate: this machine's, those told to cluster clients, and those asked for.
fn names(text: &impl Fn(Directive) -> Arc<str>) -> Result<Vec<String>, TlsError> {
    let mut names: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    // A machine or node may have a name that cannot stand in a certificate; it is left out. What was asked
    // for must do.
    let given = [
        Directive::ClusterAnnounceHostname,
        Directive::ClusterAnnounceIp,
        Directive::ClusterAnnounceClientIpv4,
        Directive::ClusterAnnounceClientIpv6,
    ];
    let told = given.iter().map(|directive| text(*directive).to_string());
    for name in machine_name().into_iter().chain(told) {
        name_in_certificate(&name).into_iter().for_each(&mut add);
    }
    for name in text(Directive::TlsAutoNames).split_whitespace() {
        add(name_in_certificate(name).ok_or_else(|| TlsError::BadName(name.to_owned()))?);
    }
    Ok(names)
}

/// The name as it stands in a certificate: an address in its usual form, a host name in small letters.
fn name_in_certificate(name: &str) -> Option<String> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let name = name.to_ascii_lowercase();
    let host = name.strip_prefix("*.").unwrap_or(&name);
    DnsName::try_from(host).ok()?;
    Some(name)
}

/// The name of this machine, where the kernel or the system tells it in a file.
fn machine_name() -> Option<String> {
    ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .iter()
        .find_map(|path| std::fs::read_to_string(Path::new(path)).ok())
        .map(|name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;

    fn settings(pairs: &[(&str, &str)]) -> Result<TlsSettings, TlsError> {
        TlsSettings::of(&Config::from_pairs(pairs.iter().copied()).expect("valid pairs"))
    }

    #[test]
    fn a_certificate_of_ones_own_asks_for_client_certificates() {
        assert_eq!(settings(&[]).expect("valid").client_certificates, ClientCertificates::No);
        let own = [("tls-cert-file", "server.crt"), ("tls-key-file", "/k/server.key"), ("dir", "/")];
        assert!(matches!(settings(&own), Err(TlsError::NoClientAuthority)));
        assert!(matches!(settings(&own[..1]), Err(TlsError::HalfPair)));
        let with = |pair| settings(&[own.as_slice(), &[pair]].concat()).expect("valid");
        let required = with(("tls-ca-cert-file", "ca.crt"));
        assert_eq!(required.client_certificates, ClientCertificates::Required);
        assert_eq!(required.client_authority_file, Some(PathBuf::from("/ca.crt")));
        let files = OwnFiles { certificate: "/server.crt".into(), key: "/k/server.key".into() };
        assert_eq!(required.own, Some(files));
        assert_eq!(with(("tls-auth-clients", "no")).client_certificates, ClientCertificates::No);
    }

    #[test]
    fn versions_are_chosen_by_name() {
        let versions = |text| settings(&[("tls-protocols", text)]).map(|settings| settings.versions);
        let both = Versions { tls12: true, tls13: true };
        assert_eq!(versions("").expect("valid"), both);
        assert_eq!(versions("TLSv1.2 tlsv1.3").expect("valid"), both);
        assert_eq!(versions("TLSv1.1 TLSv1.3").expect("valid"), Versions { tls12: false, tls13: true });
        assert!(matches!(versions("TLSv1"), Err(TlsError::NoProtocol)));
        assert!(matches!(versions("SSLv3"), Err(TlsError::UnknownProtocol(_))));
    }

    #[test]
    fn names_are_gathered_once_each() {
        let settings = settings(&[
            ("tls-auto-names", "Cache.Example *.example 10.0.0.1 localhost 0:0::1"),
            ("cluster-announce-hostname", "node-1"),
            ("cluster-announce-ip", "10.0.0.2"),
        ])
        .expect("valid");
        let names = settings.names;
        for name in
            ["localhost", "127.0.0.1", "::1", "cache.example", "*.example", "10.0.0.1", "10.0.0.2", "node-1"]
        {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name} in {names:?}");
        }
        assert!(!names.contains(&"0:0::1".to_owned()));
    }

    #[test]
    fn a_name_that_fits_no_certificate_is_refused_only_when_asked_for() {
        assert!(
            matches!(settings(&[("tls-auto-names", "a..b")]), Err(TlsError::BadName(name)) if name == "a..b")
        );
        assert!(settings(&[("cluster-announce-ip", "a..b")]).is_ok());
    }

    #[test]
    fn changes_are_looked_at_before_they_are_stored() {
        let config = Config::from_pairs([("tls-protocols", "TLSv1.3")]).expect("valid pairs");
        let pairs = [("tls-protocols", "TLSv1.2")];
        let changed = config.set(&pairs, Access::Program, |changes| {
            let settings = TlsSettings::with_changes(&config, changes).expect("valid");
            assert_eq!(settings.versions, Versions { tls12: true, tls13: false });
            Ok(())
        });
        assert_eq!(changed, Ok(()));
    }
}
