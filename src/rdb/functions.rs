//! Libraries of functions as FUNCTION DUMP returns and FUNCTION RESTORE takes them.

use super::{FooterCheck, VERSION, read, sign, signed, write};

/// Says that a library's source follows.
pub(super) const FUNCTION: u8 = 245;

/// A payload of these sources.
pub fn dump<'s>(sources: impl Iterator<Item = &'s [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for source in sources {
        out.push(FUNCTION);
        write::plain_string(source, &mut out);
    }
    sign(VERSION, &mut out);
    out
}

/// The sources in a payload, each at most `max` bytes; `None` if it is not one, or one that `check` refuses.
pub fn restore(payload: &[u8], check: FooterCheck, max: usize) -> Option<Vec<Vec<u8>>> {
    read::strings_after(FUNCTION, signed(payload, check).ok()?, max).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_come_back() {
        let sources: [&[u8]; 2] = [b"#!lua name=a\nx", b""];
        let payload = dump(sources.into_iter());
        let restore = |payload: &[u8], max| restore(payload, FooterCheck::default(), max);
        assert_eq!(restore(&payload, 100).unwrap(), sources);
        assert_eq!(restore(&payload, 3), None);
        assert_eq!(restore(&payload[1..], 100), None);
        assert_eq!(restore(&dump(std::iter::empty()), 100), Some(vec![]));
    }
}
