//! Whatever bytes stand in an append-only file: they are read as requests or refused with the place, the same
//! however they come, and never past what is whole.
#![no_main]

use kvarts::aof::{PartError, Requests, Step};
use libfuzzer_sys::fuzz_target;

fn read(bytes: &[u8], piece: usize) -> Result<(usize, u64), PartError> {
    let (mut requests, mut buffer, mut count) = (Requests::new(0), Vec::new(), 0);
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let dropped = match requests.step(&buffer)? {
                Step::Run(found) => {
                    count += found;
                    requests.consume(&buffer, found)?
                }
                Step::Skip(bytes) => bytes,
                Step::More => break,
            };
            buffer.drain(..dropped);
        }
    }
    assert!(requests.whole() <= requests.offset() && requests.offset() <= bytes.len() as u64);
    Ok((count, requests.whole()))
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let (whole, pieces) = (read(bytes, bytes.len().max(1)), read(bytes, usize::from(piece).max(1)));
    assert_eq!(whole.is_ok(), pieces.is_ok());
    if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
        assert_eq!(whole, pieces);
    }
});
