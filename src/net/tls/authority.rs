//! The server's own certificate authority, and the certificate it makes for the server.
//!
//! In the folder are:
//! - `ca.key`, the authority's key, and the time it was made. The first of several processes makes it; the
//!   others take it.
//! - `ca.crt`, its certificate, for clients. It says nothing the key does not determine, so whoever makes it
//!   makes a good one.
//! - `ca.p12`, the same certificate as a truststore for Java.
//! - `server.pem`, the server's certificate and its key in one file, so that the two always belong together,
//!   and in the first lines until when and for which names it is to be used.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use ring::digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use super::files::{PUBLIC, SECRET, make_folder, read_if_there, write, write_first};
use super::truststore::truststore;

/// File in `<dir>/tls` that a client has to trust, PEM.
pub const AUTHORITY_FILE: &str = "ca.crt";
/// File in `<dir>/tls` that a Java client can use as its truststore, PKCS #12.
pub const TRUSTSTORE_FILE: &str = "ca.p12";
/// Password of [`TRUSTSTORE_FILE`]. It guards no secret.
pub const TRUSTSTORE_PASSWORD: &str = "kvarts";

/// File in `<dir>/tls` with the authority's key, PEM. Where it is another one, so is the authority.
pub(super) const KEY_FILE: &str = "ca.key";
/// File in `<dir>/tls` with the server's certificate and key, PEM.
pub const SERVER_FILE: &str = "server.pem";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the authority is good.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * DAY.as_secs());
/// How long a certificate of the server is good. Some clients take none that is good for much longer than a
/// year.
const SERVER_LIFE: Duration = Duration::from_secs(397 * DAY.as_secs());
/// How long before its end a certificate is made again.
const RENEWAL: Duration = Duration::from_secs(30 * DAY.as_secs());

const CREATED: &str = "# created: ";
const RENEW_AT: &str = "# renew at: ";
const NAMES: &str = "# names: ";
const AUTHORITY: &str = "# authority: ";

/// A certificate of the server with its key.
pub(super) struct ServerCertificate {
    /// The certificate.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// When it is to be made again.
    pub renew_at: SystemTime,
}

/// The server's certificate for these names, taken from the folder or made. Everything missing in the folder
/// is made.
pub(super) fn server_certificate(
    folder: &Path,
    names: &[String],
    now: SystemTime,
) -> Result<ServerCertificate, TlsError> {
    make_folder(folder)?;
    let authority = Authority::obtain(folder, now)?;
    let path = folder.join(SERVER_FILE);
    let names_line = names.join(" ");
    if let Some(kept) = read_if_there(&path)?
        && let Some(certificate) = authority.kept_certificate(&kept, &names_line, now)
    {
        return Ok(certificate);
    }
    let (text, certificate) = authority.make_certificate(names, now)?;
    write(&path, SECRET, text.as_bytes())?;
    Ok(certificate)
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    ends: SystemTime,
    fingerprint: String,
}

impl Authority {
    fn obtain(folder: &Path, now: SystemTime) -> Result<Self, TlsError> {
        let key_path = folder.join(KEY_FILE);
        let mut key_text = match read_if_there(&key_path)? {
            Some(text) => text,
            None => write_first(&key_path, SECRET, new_key(now)?.as_bytes())?,
        };
        if ends(&key_text).is_some_and(|end| now + RENEWAL >= end) {
            // Its clients have to be given the new certificate in any case.
            let text = new_key(now)?;
            write(&key_path, SECRET, text.as_bytes())?;
            key_text = text.into_bytes();
            let _ = std::fs::remove_file(folder.join(AUTHORITY_FILE));
        }
        let key = std::str::from_utf8(&key_text).ok().and_then(|text| KeyPair::from_pem(text).ok());
        let key = key.ok_or_else(|| TlsError::NoKey { path: key_path.clone() })?;
        // A key without a time was put there by the user, who looks after its certificate too.
        let ends = ends(&key_text).unwrap_or(now + AUTHORITY_LIFE);

        let path = folder.join(AUTHORITY_FILE);
        let text = match read_if_there(&path)? {
            Some(text) => text,
            None => {
                let made = authority_params(&key, ends).self_signed(&key)?;
                write_first(&path, PUBLIC, made.pem().as_bytes())?
            }
        };
        let no_certificate = || TlsError::NoCertificate { path: path.clone() };
        let certificate = CertificateDer::from_pem_slice(&text).map_err(|_| no_certificate())?;
        if !contains(&certificate, rcgen::PublicKeyData::der_bytes(&key)) {
            return Err(TlsError::Mismatch { certificate: path, key: key_path });
        }
        let fingerprint = hex(&certificate);
        write_truststore(folder, &certificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|_| no_certificate())?;
        Ok(Self { issuer, ends, fingerprint })
    }

    /// Reads a certificate that was kept; `None` when it is not to be used any more.
    fn kept_certificate(&self, text: &[u8], names: &str, now: SystemTime) -> Option<ServerCertificate> {
        let renew_at = seconds(header(text, RENEW_AT)?)?;
        let fits = header(text, NAMES)? == names && header(text, AUTHORITY)? == self.fingerprint;
        // A clock that was put back may stand before the certificate begins; it would be renewed very late
        // too.
        if !fits || now >= renew_at || now + SERVER_LIFE < renew_at {
            return None;
        }
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().ok()?;
        let key = PrivateKeyDer::from_pem_slice(text).ok()?;
        (!chain.is_empty()).then_some(ServerCertificate { chain, key, renew_at })
    }

    fn make_certificate(
        &self,
        names: &[String],
        now: SystemTime,
    ) -> Result<(String, ServerCertificate), TlsError> {
        let key = KeyPair::generate()?;
        let end = self.ends.min(now + SERVER_LIFE);
        let renew_at = end - RENEWAL;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kvarts");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_life(&mut params, now - DAY, end);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let text = format!(
            "{RENEW_AT}{}\n{NAMES}{}\n{AUTHORITY}{}\n{}{}",
            unix_seconds(renew_at),
            names.join(" "),
            self.fingerprint,
            certificate.pem(),
            key.serialize_pem(),
        );
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|reason| rustls::Error::General(reason.to_owned()))?;
        let chain = vec![certificate.der().clone()];
        Ok((text, ServerCertificate { chain, key, renew_at }))
    }
}

fn new_key(now: SystemTime) -> Result<String, TlsError> {
    Ok(format!("{CREATED}{}\n{}", unix_seconds(now), KeyPair::generate()?.serialize_pem()))
}

/// When the authority of a key that the server made ends.
fn ends(key_text: &[u8]) -> Option<SystemTime> {
    Some(seconds(header(key_text, CREATED)?)? + AUTHORITY_LIFE)
}

fn authority_params(key: &KeyPair, ends: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    // A name of its own, so that a client may trust several authorities without mixing them up.
    let name = format!("Kvarts local authority {}", &hex(rcgen::PublicKeyData::der_bytes(key))[..8]);
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, ends - AUTHORITY_LIFE - DAY, ends);
    params
}

fn set_life(params: &mut CertificateParams, from: SystemTime, to: SystemTime) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(unix_seconds(from));
    params.not_after = epoch + Duration::from_secs(unix_seconds(to));
}

/// Writes the truststore unless the one that is there holds the same certificate.
fn write_truststore(folder: &Path, certificate: &[u8]) -> Result<(), TlsError> {
    let path = folder.join(TRUSTSTORE_FILE);
    if read_if_there(&path)?.is_some_and(|kept| contains(&kept, certificate)) {
        return Ok(());
    }
    write(&path, PUBLIC, &truststore(certificate, "kvarts", TRUSTSTORE_PASSWORD)?)
}

/// The rest of the line that begins so.
fn header<'a>(text: &'a [u8], name: &str) -> Option<&'a str> {
    let mut lines = text.split(|&byte| byte == b'\n');
    std::str::from_utf8(lines.find_map(|line| line.strip_prefix(name.as_bytes()))?).ok()
}

fn seconds(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(text.parse().ok()?))
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// SHA-256 of the bytes in hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in digest::digest(&digest::SHA256, bytes).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
