//! Checks of single texts. Each gives the words the client is told when the text is refused, which are
//! Valkey's.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

type Checked = Result<(), &'static str>;

/// A file name without a folder.
pub fn database_file(text: &[u8]) -> Checked {
    if text.is_empty() {
        return Err("dbfilename can't be empty");
    }
    plain(text, "dbfilename can't be a path, just a filename")
}

/// A file name without a folder.
pub fn append_file(text: &[u8]) -> Checked {
    if text.is_empty() {
        return Err("appendfilename can't be empty");
    }
    plain(text, "appendfilename can't be a path, just a filename")
}

/// A folder name without a path.
pub fn append_folder(text: &[u8]) -> Checked {
    if text.is_empty() {
        return Err("appenddirname can't be empty");
    }
    plain(text, "appenddirname can't be a path, just a dirname")
}

/// A folder name without a path.
pub fn backup_folder(text: &[u8]) -> Checked {
    if text.is_empty() {
        return Err("backupdirname can't be empty");
    }
    plain(text, "backupdirname can't be a path, just a dirname")
}

/// Any name but the empty one.
pub fn cluster_file(text: &[u8]) -> Checked {
    if text.is_empty() {
        return Err("cluster-config-file can't be empty");
    }
    Ok(())
}

/// Letters, digits, hyphens and dots, below 256 bytes.
pub fn host_name(text: &[u8]) -> Checked {
    if text.len() >= 256 {
        return Err("Hostnames must be less than 256 characters");
    }
    if text.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        Ok(())
    } else {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    }
}

/// What may stand in the node table of a cluster.
pub fn node_name(text: &[u8]) -> Checked {
    if text.iter().all(|&byte| fits_node_table(byte)) {
        Ok(())
    } else {
        Err("Announced human node name contained invalid character")
    }
}

/// An address or host name as it may stand in the node table, below 46 bytes.
pub fn announced_address(text: &[u8]) -> Checked {
    if text.len() >= 46 {
        return Err("cluster-announce-ip is too long");
    }
    if text.iter().all(|&byte| fits_node_table(byte)) {
        Ok(())
    } else {
        Err("cluster-announce-ip contains invalid character")
    }
}

/// An IPv4 address, or nothing.
pub fn ipv4(text: &[u8]) -> Checked {
    if text.is_empty() || parses::<Ipv4Addr>(text) { Ok(()) } else { Err("Invalid IPv4 address") }
}

/// An IPv6 address, or nothing.
pub fn ipv6(text: &[u8]) -> Checked {
    if text.is_empty() || parses::<Ipv6Addr>(text) { Ok(()) } else { Err("Invalid IPv6 address") }
}

/// Text with names of known variables in braces.
pub fn process_title(text: &[u8]) -> Checked {
    const KNOWN: &[&str] =
        &["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];
    const REFUSED: Checked = Err("template format is invalid or contains unknown variables");
    if text.is_empty() {
        return REFUSED;
    }
    let mut rest = text;
    while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
        let inner = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = inner.iter().position(|&byte| byte == b'}') else { return REFUSED };
        let (name, after) = inner.split_at(close);
        if !KNOWN.iter().any(|known| known.as_bytes() == name) {
            return REFUSED;
        }
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(())
}

/// The locales that sort by bytes, which are the ones there are.
pub fn locale(text: &[u8]) -> Checked {
    match text {
        b"" | b"C" | b"POSIX" | b"C.UTF-8" | b"C.utf8" => Ok(()),
        _ => Err("Invalid locale name"),
    }
}

/// RDMA is never available.
pub fn no_rdma(text: &[u8]) -> Checked {
    if text.is_empty() { Ok(()) } else { Err("No RDMA building support.") }
}

fn plain(text: &[u8], refusal: &'static str) -> Checked {
    if text.contains(&b'/') { Err(refusal) } else { Ok(()) }
}

fn fits_node_table(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/' | b':' | b'_' | b'`') || byte >= 0x80
}

fn parses<T: FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_letters_digits_hyphens_and_dots() {
        assert_eq!(host_name(b"host-1.example"), Ok(()));
        assert!(host_name(b"a_b").is_err());
        assert!(host_name(&[b'a'; 256]).is_err());
    }

    #[test]
    fn titles_know_their_variables() {
        assert_eq!(process_title(b"{title} {port} x"), Ok(()));
        assert_eq!(process_title(b"a}b"), Ok(()));
        assert!(process_title(b"{nosuch}").is_err());
        assert!(process_title(b"{title").is_err());
        assert!(process_title(b"").is_err());
    }

    #[test]
    fn addresses_are_parsed() {
        assert_eq!(ipv4(b"1.2.3.4"), Ok(()));
        assert!(ipv4(b"::1").is_err());
        assert_eq!(ipv6(b"::1"), Ok(()));
        assert!(announced_address(b"a b").is_err());
        assert_eq!(announced_address(b"host"), Ok(()));
    }
}
