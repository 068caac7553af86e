//! Handshakes with a client that trusts what the server left in its folder, and nothing else.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConnection};

use super::*;
use crate::config::tests::Folder;
use crate::config::{Access, Config};

const TLS12_ONLY: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn source(folder: &Folder, pairs: &[(&str, &str)]) -> (Arc<Config>, TlsSource) {
    let dir = folder.path().to_str().expect("UTF-8");
    let pairs = [("dir", dir)].into_iter().chain(pairs.iter().copied());
    let config = Arc::new(Config::from_pairs(pairs).expect("valid pairs"));
    (Arc::clone(&config), TlsSource::new(config))
}

/// A client that trusts one file.
struct Client<'a> {
    authority: &'a Path,
    name: &'a str,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    certificate: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
}

impl<'a> Client<'a> {
    fn new(authority: &'a Path, name: &'a str) -> Self {
        Self { authority, name, versions: rustls::ALL_VERSIONS, certificate: None }
    }

    /// Shakes hands, without a network between.
    fn shake_hands(self, source: &TlsSource) -> Result<Option<ProtocolVersion>, rustls::Error> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_file(self.authority).expect("a certificate");
        roots.add(authority).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match self.certificate {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key)?,
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from(self.name.to_owned()).expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name)?;
        let mut server = ServerConnection::new(source.server_config().expect("a configuration"))?;
        for _ in 0..10 {
            let mut wire = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut wire).expect("memory");
            }
            server.read_tls(&mut wire.as_slice()).expect("memory");
            server.process_new_packets()?;
            let mut wire = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            client.read_tls(&mut wire.as_slice()).expect("memory");
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(server.protocol_version())
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    entries
        .filter_map(Result::ok)
        .map(|entry| (name(&entry), std::fs::read(entry.path()).expect("readable")))
        .collect()
}

#[test]
fn a_client_that_trusts_the_authority_is_served() {
    let folder = Folder::new();
    let (_, source) = source(&folder, &[("tls-auto-names", "cache.example 10.1.2.3")]);
    source.server_config().expect("made");
    let authority = folder.path().join("tls").join(AUTHORITY_FILE);
    for name in ["localhost", "127.0.0.1", "::1", "cache.example", "10.1.2.3"] {
        let version = Client::new(&authority, name).shake_hands(&source);
        assert_eq!(version, Ok(Some(ProtocolVersion::TLSv1_3)), "{name}");
    }
    let old = Client { versions: TLS12_ONLY, ..Client::new(&authority, "localhost") };
    assert_eq!(old.shake_hands(&source), Ok(Some(ProtocolVersion::TLSv1_2)));
    let stranger = Client::new(&authority, "elsewhere.example").shake_hands(&source);
    assert!(matches!(stranger, Err(rustls::Error::InvalidCertificate(_))), "{stranger:?}");
}

#[test]
fn a_client_that_trusts_another_authority_refuses() {
    let (folder, other) = (Folder::new(), Folder::new());
    let (_, source) = source(&folder, &[]);
    source.server_config().expect("made");
    let (_, stranger) = self::source(&other, &[]);
    stranger.server_config().expect("made");
    let authority = other.path().join("tls").join(AUTHORITY_FILE);
    let refused = Client::new(&authority, "localhost").shake_hands(&source);
    assert!(matches!(refused, Err(rustls::Error::InvalidCertificate(_))), "{refused:?}");
}

#[test]
fn versions_can_be_narrowed() {
    let folder = Folder::new();
    let (_, source) = source(&folder, &[("tls-protocols", "TLSv1.3")]);
    source.server_config().expect("made");
    let authority = folder.path().join("tls").join(AUTHORITY_FILE);
    let old = Client { versions: TLS12_ONLY, ..Client::new(&authority, "localhost") };
    assert!(old.shake_hands(&source).is_err());
    assert!(Client::new(&authority, "localhost").shake_hands(&source).is_ok());
}

#[test]
fn files_are_made_when_needed_and_kept_across_restarts() {
    let folder = Folder::new();
    let (_, first) = source(&folder, &[]);
    let tls = folder.path().join("tls");
    assert!(!tls.exists());
    first.server_config().expect("made");
    let made = files(&tls);
    assert_eq!(
        made.keys().map(String::as_str).collect::<Vec<_>>(),
        ["ca.crt", "ca.key", "ca.p12", "server.pem"]
    );
    for name in ["ca.key", "server.pem"] {
        let mode = std::fs::metadata(tls.join(name)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (_, second) = source(&folder, &[]);
    second.server_config().expect("kept");
    assert_eq!(files(&tls), made);
}

#[test]
fn other_names_make_another_certificate_under_the_same_authority() {
    let folder = Folder::new();
    let (config, source) = source(&folder, &[]);
    let first = source.server_config().expect("made");
    let tls = folder.path().join("tls");
    let made = files(&tls);
    config.set(&[("timeout", "5")], Access::Program, |_| Ok(())).expect("valid");
    assert!(Arc::ptr_eq(&first, &source.server_config().expect("kept")));
    config.set(&[("tls-auto-names", "cache.example")], Access::Program, |_| Ok(())).expect("valid");
    let authority = tls.join(AUTHORITY_FILE);
    assert!(Client::new(&authority, "cache.example").shake_hands(&source).is_ok());
    let again = files(&tls);
    for name in ["ca.crt", "ca.key", "ca.p12"] {
        assert_eq!(again[name], made[name], "{name}");
    }
    assert_ne!(again["server.pem"], made["server.pem"]);
}

#[test]
fn a_certificate_near_its_end_is_made_again() {
    let folder = Folder::new();
    let (_, source) = source(&folder, &[]);
    let now = SystemTime::now();
    let tls = folder.path().join("tls");
    let first = source.server_config_at(now).expect("made");
    let made = files(&tls);
    let later = source.server_config_at(now + DAY * 360).expect("kept");
    assert!(Arc::ptr_eq(&first, &later));
    let renewed = source.server_config_at(now + DAY * 368).expect("made");
    assert!(!Arc::ptr_eq(&first, &renewed));
    let again = files(&tls);
    assert_eq!(again["ca.crt"], made["ca.crt"]);
    assert_ne!(again["server.pem"], made["server.pem"]);
    // The authority's own end, ten years on.
    source.server_config_at(now + DAY * 3630).expect("made");
    assert_ne!(files(&tls)["ca.crt"], made["ca.crt"]);
}

#[test]
fn processes_that_start_together_agree_on_the_authority() {
    let folder = Folder::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (_, source) = source(&folder, &[]);
                source.server_config().expect("made");
                let authority = folder.path().join("tls").join(AUTHORITY_FILE);
                assert!(Client::new(&authority, "localhost").shake_hands(&source).is_ok());
            });
        }
    });
    assert_eq!(files(&folder.path().join("tls")).len(), 4);
}

#[test]
fn files_of_different_authorities_are_told_apart() {
    let (folder, other) = (Folder::new(), Folder::new());
    for folder in [&folder, &other] {
        source(folder, &[]).1.server_config().expect("made");
    }
    let place = |folder: &Folder| folder.path().join("tls").join("ca.key");
    std::fs::copy(place(&other), place(&folder)).expect("copied");
    let mixed = source(&folder, &[]).1.server_config();
    assert!(matches!(mixed, Err(TlsError::Mismatch { .. })), "{mixed:?}");
    std::fs::write(place(&folder), "no key").expect("written");
    assert!(matches!(source(&folder, &[]).1.server_config(), Err(TlsError::NoKey { .. })));
}

/// Files of a user: an authority, and certificates for server and client under it.
fn own_files(folder: &Folder) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).expect("an authority");
    folder.write("ca.crt", &authority.pem());
    let issue = |name: &str| {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("a name");
        (params.signed_by(&key, &authority).expect("signed"), key)
    };
    let (certificate, key) = issue("localhost");
    folder.write("server.crt", &certificate.pem());
    folder.write("server.key", &key.serialize_pem());
    let (certificate, key) = issue("client");
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
}

const OWN: &[(&str, &str)] =
    &[("tls-cert-file", "server.crt"), ("tls-key-file", "server.key"), ("tls-ca-cert-file", "ca.crt")];

#[test]
fn certificates_are_asked_of_clients() {
    let folder = Folder::new();
    let (certificate, key) = own_files(&folder);
    let authority = folder.path().join("ca.crt");
    let shake = |wanted: &str, shown: bool| {
        let (_, source) = source(&folder, &[OWN, &[("tls-auth-clients", wanted)]].concat());
        let certificate = shown.then(|| (certificate.clone(), key.clone_key()));
        Client { certificate, ..Client::new(&authority, "localhost") }.shake_hands(&source).is_ok()
    };
    assert!(shake("yes", true) && !shake("yes", false));
    assert!(shake("optional", true) && shake("optional", false));
    assert!(shake("no", true) && shake("no", false));
    assert!(!folder.path().join("tls").exists());
}

#[test]
fn a_client_certificate_of_a_stranger_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    own_files(&folder);
    let stranger = own_files(&other);
    let (_, source) = source(&folder, &[OWN, &[("tls-auth-clients", "optional")]].concat());
    let authority = folder.path().join("ca.crt");
    let client = Client { certificate: Some(stranger), ..Client::new(&authority, "localhost") };
    assert!(client.shake_hands(&source).is_err());
}

#[test]
fn authorities_may_lie_in_a_folder() {
    let folder = Folder::new();
    let (certificate, key) = own_files(&folder);
    let pairs =
        [("tls-cert-file", "server.crt"), ("tls-key-file", "server.key"), ("tls-ca-cert-dir", "authorities")];
    let authority = folder.path().join("ca.crt");
    folder.write("authorities/notes.txt", "nothing");
    folder.write("authorities/ca.pem", &std::fs::read_to_string(&authority).expect("readable"));
    let (_, source) = source(&folder, &pairs);
    let client = Client { certificate: Some((certificate, key)), ..Client::new(&authority, "localhost") };
    assert!(client.shake_hands(&source).is_ok());
}

#[test]
fn files_that_will_not_do_are_named() {
    let folder = Folder::new();
    own_files(&folder);
    let outcome = |pair: (&str, &str)| source(&folder, &[OWN, &[pair]].concat()).1.server_config();
    assert!(matches!(outcome(("tls-cert-file", "none.crt")), Err(TlsError::Read { .. })));
    assert!(matches!(outcome(("tls-cert-file", "server.key")), Err(TlsError::NoCertificate { .. })));
    assert!(matches!(outcome(("tls-key-file", "server.crt")), Err(TlsError::NoKey { .. })));
    assert!(matches!(outcome(("tls-ca-cert-file", "server.key")), Err(TlsError::NoCertificate { .. })));
    folder.write(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert!(matches!(outcome(("tls-key-file", "locked.key")), Err(TlsError::EncryptedKey { .. })));
    own_files(&Folder::new());
    let other = rcgen::KeyPair::generate().expect("a key");
    folder.write("other.key", &other.serialize_pem());
    assert!(matches!(outcome(("tls-key-file", "other.key")), Err(TlsError::Unusable(_))));
}

#[test]
fn a_change_is_tried_before_it_is_made() {
    let folder = Folder::new();
    own_files(&folder);
    let (config, source) = source(&folder, OWN);
    let tried = |pairs: &[(&str, &str)]| {
        let mut outcome = Ok(());
        let result = config.set(pairs, Access::Program, |changes| {
            outcome = source.check(changes);
            Ok(())
        });
        assert_eq!(result, Ok(()));
        outcome
    };
    assert!(tried(&[("tls-auth-clients", "no")]).is_ok());
    assert!(matches!(tried(&[("tls-key-file", "none.key")]), Err(TlsError::Read { .. })));
    assert!(tried(&[("tls-key-file", ""), ("tls-cert-file", "")]).is_ok());
    assert!(!folder.path().join("tls").exists());
}

#[test]
fn sessions_are_resumed_unless_turned_off() {
    let folder = Folder::new();
    let storage = |pairs: &[(&str, &str)]| {
        source(&folder, pairs).1.server_config().expect("made").session_storage.can_cache()
    };
    assert!(storage(&[]) && storage(&[("tls-session-cache-size", "0")]));
    assert!(storage(&[("tls-session-cache-size", "2147483647")]));
    assert!(!storage(&[("tls-session-caching", "no")]));
}

#[test]
fn changed_files_are_read_again() {
    let folder = Folder::new();
    own_files(&folder);
    let (_, source) = source(&folder, OWN);
    let mut last = source.server_config().expect("made");
    let mut check = |is_new: bool, what: &str| {
        let now = source.server_config().expect(what);
        assert_eq!(!Arc::ptr_eq(&last, &now), is_new, "{what}");
        last = now;
    };
    source.look();
    check(false, "nothing has changed");
    own_files(&folder);
    check(false, "nobody has looked");
    source.look();
    check(true, "they have changed");
    source.look();
    check(false, "they were read");
    source.reload();
    check(true, "it was asked for");
}

/// What cannot be used is not used: clients are served with what there was.
#[test]
fn files_that_become_useless_are_not_used() {
    let folder = Folder::new();
    own_files(&folder);
    let (_, source) = source(&folder, OWN);
    let first = source.server_config().expect("made");
    let certificate = folder.path().join(OWN[0].1);
    let good = std::fs::read(&certificate).expect("readable");
    for bad in [&b"no certificate"[..], b""] {
        std::fs::write(&certificate, bad).expect("writable");
        source.look();
        assert!(Arc::ptr_eq(&first, &source.server_config().expect("kept")));
        source.reload();
        assert!(Arc::ptr_eq(&first, &source.server_config().expect("kept")));
    }
    std::fs::remove_file(&certificate).expect("removable");
    source.look();
    assert!(Arc::ptr_eq(&first, &source.server_config().expect("kept")));
    std::fs::write(&certificate, good).expect("writable");
    source.look();
    assert!(!Arc::ptr_eq(&first, &source.server_config().expect("made")));
}
