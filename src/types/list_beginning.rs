//! What the elements of a node begin with, written once: the texts of a packed run without it, and with it again.
//!
//! Elements of one list are often of one kind (`job:1000001`, `job:1000002`), and then most of what an inner node holds is the same bytes
//! again and again. Only texts lose their beginning; an element that is kept as an integer stays as it is.

use super::entry::{self, Encoded, Raw};
use super::list_node::{FULL_LEN_BYTES, Tail, size_with_tail};

/// The least part of a run that has to be saved, so that the node's block is at least a size smaller.
const LEAST_SAVING: usize = 4;

/// What all texts of a packed run begin with, where leaving it out saves enough. `last` is the run's last element. When the first or the
/// last one is no text it is not looked for.
pub(super) fn worth_sharing<'a>(packed: &'a [u8], count: usize, last: Raw<'a>) -> Option<&'a [u8]> {
    // What stands in front of a shared node has to be saved as well.
    let enough = |len: usize, texts: usize| {
        len > 0 && (len * texts).saturating_sub(len + FULL_LEN_BYTES) >= packed.len() / LEAST_SAVING
    };
    let Raw::Bytes(first) = entry::read(packed).0 else { return None };
    let Raw::Bytes(last) = last else { return None };
    // Where elements were numbered the first and the last one differ soonest, and where they are random any two do.
    let mut shared = &first[..common_len(first, last)];
    let mut texts = 1;
    let mut offset = size_with_tail(packed);
    while enough(shared.len(), count) && offset < packed.len() {
        let rest = &packed[offset..];
        if let (Raw::Bytes(text), _) = entry::read(rest) {
            texts += 1;
            if !text.starts_with(shared) {
                shared = &shared[..common_len(shared, text)];
            }
        }
        offset += size_with_tail(rest);
    }
    enough(shared.len(), texts).then_some(shared)
}

fn common_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Writes a packed run behind `out` with its texts' first `len` bytes left out.
pub(super) fn leave_out(packed: &[u8], len: usize, out: &mut Vec<u8>) {
    out.reserve(packed.len());
    each(packed, |raw, whole| match raw {
        Raw::Bytes(text) => push(out, &Encoded::bytes(&text[len..])),
        Raw::Int(_) | Raw::Slot(_) => out.extend_from_slice(whole),
    });
}

/// Writes a packed run behind `out` with `beginning` put before its texts.
pub(super) fn put_back(packed: &[u8], beginning: &[u8], out: &mut Vec<u8>) {
    let mut text = beginning.to_vec();
    each(packed, |raw, whole| match raw {
        Raw::Bytes(rest) => {
            text.truncate(beginning.len());
            text.extend_from_slice(rest);
            push(out, &Encoded::bytes(&text));
        }
        Raw::Int(_) | Raw::Slot(_) => out.extend_from_slice(whole),
    });
}

/// Shows each element of a packed run, and its packed bytes.
fn each<'a>(packed: &'a [u8], mut show: impl FnMut(Raw<'a>, &'a [u8])) {
    let mut rest = packed;
    while !rest.is_empty() {
        let (raw, _) = entry::read(rest);
        let (whole, after) = rest.split_at(size_with_tail(rest));
        show(raw, whole);
        rest = after;
    }
}

fn push(out: &mut Vec<u8>, element: &Encoded<'_>) {
    out.extend_from_slice(element.head());
    out.extend_from_slice(element.data());
    out.extend_from_slice(Tail::of(element.len()).bytes());
}
