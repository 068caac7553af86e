//! Encrypted connections: which certificate the server shows, and which it asks of clients.
//!
//! With `tls-cert-file` and `tls-key-file` the server shows the user's own certificate. Without them it makes
//! one when the first TLS client comes, under a certificate authority of its own that is kept in `<dir>/tls`.
//! Nothing here waits on the network, but files are read and keys made, so call it where blocking for some
//! milliseconds is allowed.

mod authority;
mod ciphers;
mod client;
mod export;
mod files;
mod handshake;
mod names;
mod settings;
mod source;
mod truststore;

use std::path::PathBuf;

pub use authority::AUTHORITY_FILE;
pub use client::client_config_of_files;
pub use export::export;
pub use names::UserField;
pub use settings::OwnFiles;
pub use source::TlsSource;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or folder cannot be read.
    #[error("can't read '{}': {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// A file or folder cannot be written.
    #[error("can't write '{}': {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// A file that should hold certificates in PEM holds none, or spoilt ones.
    #[error("no certificate in PEM in '{}'", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file that should hold a private key in PEM holds none, or a spoilt one.
    #[error("no private key in PEM in '{}'", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The private key is encrypted.
    #[error("the private key in '{}' has a pass phrase, which is not supported", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// Of `tls-cert-file` and `tls-key-file` only one is given.
    #[error("tls-cert-file and tls-key-file must be given together")]
    HalfPair,
    /// Clients must show certificates, and nothing says which are good.
    #[error("tls-auth-clients needs tls-ca-cert-file or tls-ca-cert-dir")]
    NoClientAuthority,
    /// `tls-protocols` has a word that is no TLS version.
    #[error("tls-protocols: '{0}' is none of TLSv1.2 and TLSv1.3")]
    UnknownProtocol(String),
    /// `tls-protocols` leaves no version that is supported.
    #[error("tls-protocols leaves neither TLSv1.2 nor TLSv1.3")]
    NoProtocol,
    /// A list of cipher suites chooses none that is supported: the directive and its text.
    #[error("{0} '{1}' names no cipher suite that is supported")]
    NoCipher(&'static str, String),
    /// A file that should hold Diffie-Hellman parameters in PEM holds none.
    #[error("no Diffie-Hellman parameters in PEM in '{}'", path.display())]
    NoParameters {
        /// The file.
        path: PathBuf,
    },
    /// A name for the certificate is neither a host name nor an address.
    #[error("'{0}' is neither a host name nor an address")]
    BadName(String),
    /// The files of the authority do not belong together.
    #[error("'{}' and '{}' do not belong together; without both, new ones are made", certificate.display(), key.display())]
    Mismatch {
        /// The authority's certificate.
        certificate: PathBuf,
        /// The authority's key.
        key: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// The certificate or key is not usable.
    #[error("unusable certificate or key: {0}")]
    Unusable(#[from] rustls::Error),
    /// The certificates that vouch for clients are not usable.
    #[error("unusable certificates for clients: {0}")]
    ClientAuthority(#[from] rustls::server::VerifierBuilderError),
    /// The operating system gives no random numbers.
    #[error("no random numbers")]
    Random,
}

#[cfg(test)]
mod tests;
