//! TLS for connections that the server opens itself: to the primary that it follows.
//!
//! The other side has to show a certificate that `tls-ca-cert-file` or `tls-ca-cert-dir` vouches for; without
//! them, the authority that this server has made for itself. Names in it are not compared, as the peers do
//! not: a primary is known by an address that sentinels and operators change.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::TlsError;
use super::settings::{OwnFiles, TlsSettings};
use super::source::{authorities, certificates, own_certificate, versions};
use crate::net::tls::AUTHORITY_FILE;

/// How to speak TLS with another server. Reads the files it takes.
///
/// # Errors
/// When the configuration asks for what is not there or not supported.
pub(super) fn client_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, TlsError> {
    let ring = rustls::crypto::ring::default_provider();
    let provider = Arc::new(CryptoProvider { cipher_suites: settings.ciphers.clone(), ..ring });
    let mut roots = authorities(settings)?;
    if settings.client_authority_file.is_none() && settings.client_authority_dir.is_none() {
        for certificate in certificates(&settings.folder.join(AUTHORITY_FILE))? {
            roots.add(certificate)?;
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings.versions))?
        .dangerous()
        .with_custom_certificate_verifier(AnyName::new(roots, provider)?);
    let config = match settings.of_client.as_ref().or(settings.own.as_ref()) {
        Some(files) => {
            let (chain, key) = own_certificate(files)?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// How to speak TLS with a server whose authority's certificate is in this file, showing a certificate of
/// one's own where one is given.
///
/// # Errors
/// Files that cannot be read or hold something else.
pub fn client_config_of_files(
    authorities: &Path,
    own: Option<&OwnFiles>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities)? {
        roots.add(certificate)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(AnyName::new(roots, provider)?);
    let config = match own {
        Some(files) => {
            let (chain, key) = own_certificate(files)?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

/// Verifies a certificate but for the names in it.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl AnyName {
    fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<Arc<Self>, TlsError> {
        let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Arc::new(Self(builder.build()?)))
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The names come last: whoever gets there is vouched for.
        match self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
