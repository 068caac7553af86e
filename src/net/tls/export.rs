//! Copies what people need for TLS into a folder: `kvarts tls export`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::{
    AUTHORITY_FILE, KEY_FILE as AUTHORITY_KEY_FILE, SERVER_FILE, TRUSTSTORE_FILE, TRUSTSTORE_PASSWORD,
};
use super::files::{PUBLIC, SECRET, make_folder, read, read_if_there, write};
use super::settings::TlsSettings;
use super::source::own_certificate;
use super::truststore::truststore;
use super::{TlsError, TlsSource};
use crate::config::Config;

/// The certificate chain that the server shows, PEM.
const CERTIFICATE_FILE: &str = "server.crt";
/// The chain's private key, PEM.
const KEY_FILE: &str = "server.key";

/// What an export has done.
pub struct Export {
    /// The paths of the files that it wrote, or why it could not write them.
    pub written: Result<Vec<PathBuf>, TlsError>,
    /// The folder of an authority that it made because there was none, or one that was about to end. Whoever expected
    /// the authority of a running server has named another folder than that server's.
    pub new_authority: Option<PathBuf>,
}

/// Writes what a client has to trust (`ca.crt`, and `ca.p12` as a Java truststore) and the server's certificate with
/// its key (`server.crt`, `server.key`) into a folder. Without certificates in the configuration those are the
/// server's own, made where there are none yet.
pub fn export(config: Config, folder: &Path) -> Export {
    let settings = match TlsSettings::of(&config) {
        Ok(settings) => settings,
        Err(error) => return Export { written: Err(error), new_authority: None },
    };
    let key = || read_if_there(&settings.folder.join(AUTHORITY_KEY_FILE)).ok().flatten();
    let before = key();
    let written = write_files(config, &settings, folder);
    // It may have been made although the files could not be written.
    let is_new = key().is_some_and(|after| before != Some(after));
    Export { written, new_authority: is_new.then(|| settings.folder.clone()) }
}

fn write_files(config: Config, settings: &TlsSettings, folder: &Path) -> Result<Vec<PathBuf>, TlsError> {
    let [authority, certificate, key] = match &settings.own {
        Some(files) => {
            let (chain, _) = own_certificate(files)?;
            let authority = match (&settings.client_authority_file, chain.last()) {
                (Some(path), _) => read(path)?,
                // The last of a chain is the nearest to whoever vouches for it.
                (None, Some(last)) => pem(last),
                (None, None) => return Err(TlsError::NoCertificate { path: files.certificate.clone() }),
            };
            [authority, read(&files.certificate)?, read(&files.key)?]
        }
        None => {
            TlsSource::new(Arc::new(config)).server_config()?;
            let (certificate, key) = parts(&read(&settings.folder.join(SERVER_FILE))?);
            [read(&settings.folder.join(AUTHORITY_FILE))?, certificate, key]
        }
    };
    let trusted = CertificateDer::from_pem_slice(&authority);
    let trusted = trusted.map_err(|_| TlsError::NoCertificate { path: folder.join(AUTHORITY_FILE) })?;
    let store = truststore(&trusted, "kvarts", TRUSTSTORE_PASSWORD)?;
    make_folder(folder)?;
    let files = [
        (AUTHORITY_FILE, PUBLIC, authority),
        (TRUSTSTORE_FILE, PUBLIC, store),
        (CERTIFICATE_FILE, PUBLIC, certificate),
        (KEY_FILE, SECRET, key),
    ];
    files
        .into_iter()
        .map(|(name, mode, content)| {
            let path = folder.join(name);
            write(&path, mode, &content).map(|()| path)
        })
        .collect()
}

/// The certificates and the keys of a file that holds both, each part whole.
fn parts(text: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut certificates, mut keys, mut is_key) = (Vec::new(), Vec::new(), None);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b"-----BEGIN ") {
            is_key = Some(line.windows(11).any(|words| words == b"PRIVATE KEY"));
        }
        match is_key {
            Some(true) => keys.extend_from_slice(line),
            Some(false) => certificates.extend_from_slice(line),
            // What is said about them.
            None => {}
        }
        if line.starts_with(b"-----END ") {
            is_key = None;
        }
    }
    (certificates, keys)
}

/// A certificate in PEM.
fn pem(certificate: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = Vec::with_capacity(certificate.len() * 4 / 3 + 4);
    for group in certificate.chunks(3) {
        let bits =
            group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        let digit = |at: u32| ALPHABET[(bits >> (18 - 6 * at)) as usize & 63];
        let shown = (0..4).map(|at| if at as usize <= group.len() { digit(at) } else { b'=' });
        digits.extend(shown);
    }
    let mut text = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in digits.chunks(64) {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(b"-----END CERTIFICATE-----\n");
    text
}
