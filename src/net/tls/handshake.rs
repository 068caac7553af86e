//! The handshake with a client, whichever port it came through.

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::TlsSource;
use crate::engine::Server;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a handshake failed.
#[derive(Debug)]
pub enum HandshakeError {
    /// There is no certificate to show, or the configuration cannot be followed: every client would fail.
    Ours(String),
    /// The client left, took too long or asked for what is not offered.
    Theirs(io::Error),
}

impl TlsSource {
    /// Greets a client whose first byte begins a handshake.
    ///
    /// # Errors
    /// It failed, through the fault of either side.
    pub async fn greet(self: &Arc<Self>, stream: TcpStream) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let source = Arc::clone(self);
        // Making a certificate takes milliseconds of computing and a few files: not on a thread that serves
        // others.
        let made = tokio::task::spawn_blocking(move || source.server_config()).await;
        let config = made
            .map_err(|error| HandshakeError::Ours(error.to_string()))?
            .map_err(|error| HandshakeError::Ours(error.to_string()))?;
        let acceptor = TlsAcceptor::from(config);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(accepted) => accepted.map_err(HandshakeError::Theirs),
            Err(_) => Err(HandshakeError::Theirs(io::ErrorKind::TimedOut.into())),
        }
    }
}

impl HandshakeError {
    /// Writes the failure into the log: as a warning, not too often, where whoever runs the server or set the
    /// client up looks here for the reason.
    pub fn tell(&self, server: &Server, client: impl Display) {
        let further = || server.logs.log_limits.handshake.take(server.clock.now_ms());
        match self {
            Self::Ours(error) => {
                if let Some(further) = further() {
                    tracing::warn!(%client, %error, further, "TLS cannot be spoken as configured");
                }
            }
            Self::Theirs(error) => {
                match about_certificate(error).and_then(|about| Some((about, further()?))) {
                    // Its side sees a closed connection only, or nobody looks there.
                    Some((about, further)) => tracing::warn!(%client, %error, further, "{about}"),
                    None => tracing::debug!(%client, %error, "TLS handshake failed"),
                }
            }
        }
    }
}

/// What is wrong where a handshake failed because of a certificate: the client's, or the server's in its eyes.
fn about_certificate(error: &io::Error) -> Option<&'static str> {
    use rustls::AlertDescription as Alert;
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Some("a client's certificate was refused")
        }
        rustls::Error::AlertReceived(
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked,
        ) => Some("a client does not trust the server's certificate"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_about_certificates_are_told() {
        let of = |error: rustls::Error| about_certificate(&io::Error::other(error));
        let alert = |alert| of(rustls::Error::AlertReceived(alert));
        let trust = Some("a client does not trust the server's certificate");
        assert_eq!(alert(rustls::AlertDescription::UnknownCA), trust);
        assert_eq!(alert(rustls::AlertDescription::BadCertificate), trust);
        assert_eq!(alert(rustls::AlertDescription::ProtocolVersion), None);
        assert_eq!(of(rustls::Error::NoCertificatesPresented), Some("a client's certificate was refused"));
        assert_eq!(of(rustls::Error::HandshakeNotComplete), None);
        assert_eq!(about_certificate(&io::ErrorKind::TimedOut.into()), None);
    }
}
