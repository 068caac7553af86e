//! [`TlsSource`]: the certificate and settings with which the next TLS client is served, made anew when they
//! change.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use ring::digest;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::TlsError;
use super::authority::server_certificate;
use super::client::client_config;
use super::files::{read, read_error};
use super::settings::{ClientCertificates, OwnFiles, TlsSettings, Versions};
use crate::config::{Change, Config};

/// Makes the TLS side of the server when it is first needed, and again when the configuration changes or the
/// certificate nears its end. Shared by all listeners.
pub struct TlsSource {
    config: Arc<Config>,
    made: Mutex<Option<Made>>,
}

struct Made {
    version: u64,
    settings: TlsSettings,
    renew_at: Option<SystemTime>,
    /// How the user's files looked when they were read last, rightly or not; `None` to have them read again.
    seen: Option<Vec<Seen>>,
    server: Arc<ServerConfig>,
}

/// What tells of a file or folder that it was changed: its length, when it was written, which one it is, and the digest
/// of a small file; `None` where it is not there.
type Seen = Option<(u64, Option<SystemTime>, u64, Vec<u8>)>;

/// Files longer than this, in bytes, are known by their length and times alone.
const DIGEST_MAX: u64 = 1 << 20;

/// A version that the configuration never has.
const NO_VERSION: u64 = u64::MAX;

impl TlsSource {
    /// A source for the server with this configuration. Nothing is read or made yet.
    pub fn new(config: Arc<Config>) -> Self {
        Self { config, made: Mutex::new(None) }
    }

    /// How to speak TLS with the next client. The first call, and a call after a change, reads files or makes
    /// keys, which takes milliseconds; others are a lock and a comparison.
    ///
    /// # Errors
    /// When the configuration asks for what is not there or not supported.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config_at(SystemTime::now())
    }

    /// Does what [`server_config`](Self::server_config) does, at the time `now`, by which a certificate is
    /// made again.
    ///
    /// # Errors
    /// As there.
    pub fn server_config_at(&self, now: SystemTime) -> Result<Arc<ServerConfig>, TlsError> {
        let mut made = self.made.lock();
        let version = self.config.version();
        let is_due = |made: &Made| made.renew_at.is_some_and(|renew_at| now >= renew_at);
        if let Some(made) = made.as_ref()
            && made.version == version
            && !is_due(made)
        {
            return Ok(Arc::clone(&made.server));
        }
        let settings = TlsSettings::of(&self.config)?;
        // Before they are read: what is changed meanwhile is noticed later.
        let seen = Some(look_at_files(&settings));
        if let Some(made) = made.as_mut()
            && made.settings == settings
            && made.seen == seen
            && !is_due(made)
        {
            made.version = version;
            return Ok(Arc::clone(&made.server));
        }
        match (make(&settings, now), made.as_mut()) {
            (Ok((server, renew_at)), _) => {
                *made = Some(Made { version, settings, renew_at, seen, server: Arc::clone(&server) });
                Ok(server)
            }
            (Err(error), Some(made)) if made.settings == settings && !is_due(made) => {
                tracing::warn!(%error, "changed certificates or keys cannot be used; those of before stay in use");
                (made.version, made.seen) = (version, seen);
                Ok(Arc::clone(&made.server))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// How to speak TLS with another server that this one connects to. Reads files, at each call.
    ///
    /// # Errors
    /// When the configuration asks for what is not there or not supported.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        // It makes the authority where there is none.
        self.server_config()?;
        client_config(&TlsSettings::of(&self.config)?)
    }

    /// Reads the user's files again. Where they cannot be used, those of before stay in use.
    pub fn reload(&self) {
        let mut made = self.made.lock();
        if let Some(made) = made.as_mut() {
            (made.version, made.seen) = (NO_VERSION, None);
        }
        let is_made = made.is_some();
        drop(made);
        if is_made {
            // What is wrong was logged.
            drop(self.server_config());
        }
    }

    /// Does what [`reload`](Self::reload) does where a file has changed since it was read.
    pub fn look(&self) {
        let has_changed = {
            let made = self.made.lock();
            made.as_ref().is_some_and(|made| made.seen != Some(look_at_files(&made.settings)))
        };
        if has_changed {
            tracing::info!("certificates or keys have changed: they are read again");
            self.reload();
        }
    }

    /// Whether TLS would work after these changes, for `CONFIG SET` to ask before it makes them. Files of the
    /// user's are read; a certificate of the server's own is not made.
    ///
    /// # Errors
    /// As [`server_config`](Self::server_config).
    pub fn check(&self, changes: &[Change]) -> Result<(), TlsError> {
        let settings = TlsSettings::with_changes(&self.config, changes)?;
        if settings.client_authority_file.is_some() || settings.client_authority_dir.is_some() {
            authorities(&settings)?;
        }
        match settings.own {
            Some(_) => make(&settings, SystemTime::now()).map(drop),
            None => check_parameters(&settings),
        }
    }
}

/// How the user's files look.
fn look_at_files(settings: &TlsSettings) -> Vec<Seen> {
    let own = [&settings.own, &settings.of_client];
    let files = own.into_iter().flatten().flat_map(|files| [&files.certificate, &files.key]);
    let others = [&settings.client_authority_file, &settings.client_authority_dir, &settings.parameters_file];
    let look = |path: &PathBuf| {
        let about = std::fs::metadata(path).ok()?;
        // Two writes may fall into one tick of the file system's clock.
        let is_small = about.is_file() && about.len() <= DIGEST_MAX;
        let text = if is_small { std::fs::read(path).ok()? } else { Vec::new() };
        let digest = digest::digest(&digest::SHA256, &text).as_ref().to_vec();
        Some((about.len(), about.modified().ok(), about.ino(), digest))
    };
    files.chain(others.into_iter().flatten()).map(look).collect()
}

/// Reads the user's files, or makes a certificate; also tells when that is to be made again.
fn make(
    settings: &TlsSettings,
    now: SystemTime,
) -> Result<(Arc<ServerConfig>, Option<SystemTime>), TlsError> {
    let (chain, key, renew_at) = match &settings.own {
        Some(files) => {
            let (chain, key) = own_certificate(files)?;
            (chain, key, None)
        }
        None => {
            let made = server_certificate(&settings.folder, &settings.names, now)?;
            (made.chain, made.key, Some(made.renew_at))
        }
    };
    check_parameters(settings)?;
    let ring = rustls::crypto::ring::default_provider();
    let provider = Arc::new(CryptoProvider { cipher_suites: settings.ciphers.clone(), ..ring });
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings.versions))?;
    let builder = match settings.client_certificates {
        ClientCertificates::No => builder.with_no_client_auth(),
        wanted => {
            let roots = Arc::new(authorities(settings)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
            let verifier = match wanted {
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut server = builder.with_single_cert(chain, key)?;
    server.ignore_client_order = settings.prefers_own_order;
    match settings.sessions {
        0 => {
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        sessions => server.session_storage = ServerSessionMemoryCache::new(sessions),
    }
    Ok((Arc::new(server), renew_at))
}

/// Whether `tls-dh-params-file` holds what its name says, as far as PEM tells.
fn check_parameters(settings: &TlsSettings) -> Result<(), TlsError> {
    let Some(path) = &settings.parameters_file else { return Ok(()) };
    let text = read(path)?;
    let marks = |words: &[u8]| text.windows(words.len()).any(|part| part == words);
    if marks(b"-----BEGIN DH PARAMETERS-----") && marks(b"-----END DH PARAMETERS-----") {
        return Ok(());
    }
    Err(TlsError::NoParameters { path: path.clone() })
}

pub(super) fn versions(allowed: Versions) -> Vec<&'static SupportedProtocolVersion> {
    let mut versions = Vec::with_capacity(2);
    if allowed.tls13 {
        versions.push(&rustls::version::TLS13);
    }
    if allowed.tls12 {
        versions.push(&rustls::version::TLS12);
    }
    versions
}

pub(super) fn own_certificate(
    files: &OwnFiles,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&files.certificate)?;
    let text = read(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let path = files.key.clone();
        if is_encrypted(&text) { TlsError::EncryptedKey { path } } else { TlsError::NoKey { path } }
    })?;
    if is_encrypted(&text) {
        return Err(TlsError::EncryptedKey { path: files.key.clone() });
    }
    Ok((chain, key))
}

/// Whether the key says so in one of the two forms there are.
fn is_encrypted(text: &[u8]) -> bool {
    let has = |words: &[u8]| text.windows(words.len()).any(|part| part == words);
    has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
}

pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::NoCertificate { path: path.to_owned() }),
    }
}

/// The certificates that vouch for others, of the file and of the folder. Files in the folder that hold none
/// are passed over, as it may hold other things.
pub(super) fn authorities(settings: &TlsSettings) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.client_authority_file {
        for certificate in certificates(path)? {
            roots.add(certificate)?;
        }
    }
    if let Some(folder) = &settings.client_authority_dir {
        let entries = folder.read_dir().map_err(|error| read_error(folder, &error))?;
        let files = entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file());
        for path in files {
            roots.add_parsable_certificates(certificates(&path).unwrap_or_default());
        }
    }
    Ok(roots)
}
