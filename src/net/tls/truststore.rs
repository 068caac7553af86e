//! A PKCS #12 file with one trusted certificate and no key, as Java's `keytool` makes and reads it.
//!
//! The certificate is public, so it is not encrypted; the password only guards against change. The form is
//! that of RFC 7292 with Java's attribute that marks the certificate as trusted, without which Java would
//! ignore it.

use ring::{digest, hmac, rand};

use super::TlsError;

/// Rounds of hashing the password.
const ITERATIONS: u32 = 10_000;
/// Block and output of SHA-256 in bytes.
const BLOCK: usize = 64;
const SALT: usize = 32;

// Object identifiers, in the bytes they have in DER.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const CERTIFICATE_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03];
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01];
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14];
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01];
const ANY_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];

// Tags of DER.
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const EXPLICIT: u8 = 0xa0;

/// The file that trusts the certificate, given in DER, under that name.
pub(super) fn truststore(certificate: &[u8], name: &str, password: &str) -> Result<Vec<u8>, TlsError> {
    let salt: [u8; SALT] = rand::generate(&rand::SystemRandom::new()).map_err(|_| TlsError::Random)?.expose();
    let bag = certificate_bag(certificate, name);
    let safe = sequence(&[&data(&sequence(&[&bag]))]);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &integrity_key(password, &salt));
    let seal = hmac::sign(&key, &safe);
    let algorithm = sequence(&[&object_id(SHA256), &element(NULL, &[])]);
    let sealed = sequence(&[&algorithm, &element(OCTET_STRING, seal.as_ref())]);
    let integrity = sequence(&[&sealed, &element(OCTET_STRING, &salt), &integer(ITERATIONS)]);
    Ok(sequence(&[&integer(3), &data(&safe), &integrity]))
}

fn certificate_bag(certificate: &[u8], name: &str) -> Vec<u8> {
    let content = element(EXPLICIT, &element(OCTET_STRING, certificate));
    let content = element(EXPLICIT, &sequence(&[&object_id(X509_CERTIFICATE), &content]));
    let attribute = |id: &[u8], value: &[u8]| sequence(&[&object_id(id), &element(SET, value)]);
    let mut attributes = [
        attribute(FRIENDLY_NAME, &element(BMP_STRING, &utf16(name))),
        attribute(TRUSTED_KEY_USAGE, &object_id(ANY_KEY_USAGE)),
    ];
    // A set is written in the order of its elements' bytes.
    attributes.sort();
    sequence(&[&object_id(CERTIFICATE_BAG), &content, &element(SET, &attributes.concat())])
}

/// The key for the seal, RFC 7292 appendix B with purpose 3. SHA-256 gives all of it in one go, so the steps
/// that join several outputs are not needed.
fn integrity_key(password: &str, salt: &[u8; SALT]) -> Vec<u8> {
    let mut password = utf16(password);
    password.extend([0, 0]);
    let fill = |text: &[u8]| {
        let length = text.len().next_multiple_of(BLOCK);
        text.iter().copied().cycle().take(length).collect::<Vec<u8>>()
    };
    let mut key = [[3; BLOCK].as_slice(), &fill(salt), &fill(&password)].concat();
    for _ in 0..ITERATIONS {
        key = digest::digest(&digest::SHA256, &key).as_ref().to_vec();
    }
    key
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

fn data(content: &[u8]) -> Vec<u8> {
    sequence(&[&object_id(DATA), &element(EXPLICIT, &element(OCTET_STRING, content))])
}

fn sequence(elements: &[&[u8]]) -> Vec<u8> {
    element(SEQUENCE, &elements.concat())
}

fn object_id(id: &[u8]) -> Vec<u8> {
    element(OBJECT_ID, id)
}

fn integer(number: u32) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(3);
    let mut content = bytes.get(zeros..).unwrap_or_default().to_vec();
    // A first bit of 1 would make it negative.
    if content.first().is_some_and(|byte| byte & 0x80 != 0) {
        content.insert(0, 0);
    }
    element(INTEGER, &content)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => bytes.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            let length = length.get(zeros..).unwrap_or_default();
            bytes.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            bytes.extend_from_slice(length);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_numbers_are_written_as_der() {
        assert_eq!(element(OCTET_STRING, &[7]), [4, 1, 7]);
        assert_eq!(element(OCTET_STRING, &[0; 0x7f])[..2], [4, 0x7f]);
        assert_eq!(element(OCTET_STRING, &[0; 0x80])[..3], [4, 0x81, 0x80]);
        assert_eq!(element(OCTET_STRING, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(integer(3), [2, 1, 3]);
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(integer(10_000), [2, 2, 0x27, 0x10]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
    }

    #[test]
    fn the_certificate_is_inside_and_two_files_differ_only_in_their_seal() {
        let certificate = [9u8; 200];
        let file = truststore(&certificate, "kvarts", "kvarts").expect("random numbers");
        assert!(file.windows(certificate.len()).any(|part| part == certificate));
        let other = truststore(&certificate, "kvarts", "kvarts").expect("random numbers");
        assert_eq!(file.len(), other.len());
        assert_ne!(file, other);
        // The salt and the sum over it, 32 bytes each, stand in the last 81 bytes.
        let seal = file.len() - 81;
        assert_eq!(file[..seal], other[..seal]);
    }
}
