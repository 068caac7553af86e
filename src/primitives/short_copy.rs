//! Copies of up to 64 bytes in pieces of a fixed size that may overlap: without a function call, so that a
//! loop around it keeps its registers.

/// Copies bytes from one slice into another of the same length.
#[inline]
pub fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        0 => {}
        len @ 1..=3 => [0, len / 2, len - 1].into_iter().for_each(|index| to[index] = from[index]),
        4..=7 => copy_ends::<4>(to, from),
        8..=16 => copy_ends::<8>(to, from),
        17..=32 => copy_ends::<16>(to, from),
        33..=64 => copy_ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied() {
        let from: Vec<u8> = (0..100).collect();
        for len in 0..from.len() {
            let mut to = vec![0xFF; len];
            copy(&mut to, &from[..len]);
            assert_eq!(to, from[..len]);
        }
    }
}
