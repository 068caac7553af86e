//! The cipher suites that `tls-ciphers` (TLS 1.2) and `tls-ciphersuites` (TLS 1.3) choose from those
//! supported, in OpenSSL's notation.

use rustls::crypto::ring::ALL_CIPHER_SUITES;
use rustls::{CipherSuite, SupportedCipherSuite};

use super::TlsError;

/// The supported suites of TLS 1.2 by OpenSSL's names, with the words that stand for groups they belong to.
const TLS12: &[(CipherSuite, &str, &[&str])] = &[
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        &["ECDSA", "AECDSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384",
        &["ARSA", "AES", "AES256", "AESGCM", "SHA384"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        &["ECDSA", "AECDSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256",
        &["ARSA", "AES", "AES128", "AESGCM", "SHA256"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        &["ECDSA", "AECDSA", "CHACHA20"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "ECDHE-RSA-CHACHA20-POLY1305",
        &["ARSA", "CHACHA20"],
    ),
];

/// The suites of TLS 1.3 by their names.
const TLS13: &[(CipherSuite, &str)] = &[
    (CipherSuite::TLS13_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"),
    (CipherSuite::TLS13_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"),
    (CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"),
];

/// Words for groups that hold every supported suite of TLS 1.2.
const ALL_OF_TLS12: &[&str] =
    &["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "KECDHE", "KEECDH", "AEAD", "TLSV1.2", "FIPS"];

/// The suites for both versions, in the order in which the server prefers them.
///
/// # Errors
/// When a list is given and chooses none of the supported suites. Words that name nothing supported are
/// passed over beside others, as OpenSSL does with names it does not know.
pub(super) fn chosen(tls12: &str, tls13: &str) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut names = of_tls13(tls13)?;
    names.extend(of_tls12(tls12)?);
    let find = |name| ALL_CIPHER_SUITES.iter().find(|suite| suite.suite() == name).copied();
    Ok(names.into_iter().filter_map(find).collect())
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ', ';']).filter(|word| !word.is_empty())
}

fn of_tls13(list: &str) -> Result<Vec<CipherSuite>, TlsError> {
    if list.is_empty() {
        return Ok(TLS13.iter().map(|(suite, _)| *suite).collect());
    }
    let mut chosen = Vec::new();
    for word in words(list) {
        let found = TLS13.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(suite, _)| *suite);
        chosen.extend(found.filter(|suite| !chosen.contains(suite)));
    }
    if chosen.is_empty() { Err(TlsError::NoCipher("tls-ciphersuites", list.to_owned())) } else { Ok(chosen) }
}

/// `A:B` adds in that order, `-A` takes out, `!A` takes out for good, `+A` moves to the end, `A+B` means what
/// belongs to both.
fn of_tls12(list: &str) -> Result<Vec<CipherSuite>, TlsError> {
    if list.is_empty() {
        return Ok(TLS12.iter().map(|(suite, ..)| *suite).collect());
    }
    let mut chosen: Vec<CipherSuite> = Vec::new();
    let mut barred: Vec<CipherSuite> = Vec::new();
    for word in words(list) {
        let (action, group) = match word.as_bytes()[0] {
            action @ (b'!' | b'-' | b'+') => (action, &word[1..]),
            // `@STRENGTH` sorts by length of key, which is the order of the table.
            b'@' => continue,
            _ => (b' ', word),
        };
        let members = members(group);
        match action {
            b'+' => {
                let moved: Vec<_> = chosen.iter().copied().filter(|suite| members.contains(suite)).collect();
                chosen.retain(|suite| !members.contains(suite));
                chosen.extend(moved);
            }
            b' ' => {
                for suite in members {
                    if !chosen.contains(&suite) && !barred.contains(&suite) {
                        chosen.push(suite);
                    }
                }
            }
            _ => {
                chosen.retain(|suite| !members.contains(suite));
                if action == b'!' {
                    barred.extend(members);
                }
            }
        }
    }
    if chosen.is_empty() { Err(TlsError::NoCipher("tls-ciphers", list.to_owned())) } else { Ok(chosen) }
}

/// The supported suites that belong to every part of `A+B`; a part is a suite's name or the word for a group.
fn members(group: &str) -> Vec<CipherSuite> {
    let parts: Vec<String> = group.split('+').map(str::to_ascii_uppercase).collect();
    let belongs = |name: &str, groups: &[&str]| {
        parts.iter().all(|part| {
            part == name || ALL_OF_TLS12.contains(&part.as_str()) || groups.contains(&part.as_str())
        })
    };
    TLS12.iter().filter(|(_, name, groups)| belongs(name, groups)).map(|(suite, ..)| *suite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tls12: &str) -> Vec<&'static str> {
        let chosen = of_tls12(tls12).unwrap_or_default();
        let name = |suite: CipherSuite| TLS12.iter().find(|entry| entry.0 == suite).map(|entry| entry.1);
        chosen.into_iter().filter_map(name).collect()
    }

    #[test]
    fn every_suite_of_the_tables_is_supported() {
        assert_eq!(chosen("", "").expect("the default").len(), TLS12.len() + TLS13.len());
        assert_eq!(ALL_CIPHER_SUITES.len(), TLS12.len() + TLS13.len());
    }

    #[test]
    fn lists_choose_in_the_notation_of_openssl() {
        assert_eq!(names("HIGH:!aNULL").len(), 6);
        assert_eq!(names("DEFAULT:!MEDIUM").len(), 6);
        assert_eq!(names("ECDHE-RSA-AES256-GCM-SHA384:bogus"), ["ECDHE-RSA-AES256-GCM-SHA384"]);
        assert_eq!(names("ecdhe+chacha20:!ECDSA:@STRENGTH"), ["ECDHE-RSA-CHACHA20-POLY1305"]);
        assert_eq!(
            names("AES256:AES128:-ECDSA:+AES256"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]
        );
        assert_eq!(names("!ECDSA:AES128"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    }

    #[test]
    fn a_list_that_leaves_nothing_is_refused() {
        for list in ["bogus", "AES128-SHA", "ALL:!ALL", ":", "!é"] {
            assert!(matches!(chosen(list, ""), Err(TlsError::NoCipher("tls-ciphers", _))), "{list}");
        }
        assert!(matches!(chosen("", "bogus"), Err(TlsError::NoCipher("tls-ciphersuites", _))));
        assert_eq!(chosen("AES128", "TLS_AES_256_GCM_SHA384:bogus").expect("valid").len(), 3);
    }
}
