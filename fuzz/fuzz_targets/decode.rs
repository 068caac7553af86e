//! Requests are the same however the bytes are cut: decoded at once and in pieces, the same requests and the
//! same error come out.
#![no_main]

use kvarts::resp::decode::{Decoder, Limits, ProtocolError};
use libfuzzer_sys::fuzz_target;

type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

const LIMITS: Limits = Limits { bulk_max: 1 << 20, authenticated: true };

/// Decodes `bytes`, which arrive in pieces of these lengths, over and over.
fn decode(bytes: &[u8], pieces: &[u8]) -> Requests {
    let mut decoder = Decoder::new();
    let (mut buffer, mut requests) = (Vec::new(), Vec::new());
    let (mut arrived, mut turn) = (0, 0);
    loop {
        match decoder.decode(&buffer, LIMITS) {
            Err(error) => return (requests, Some(error)),
            Ok(0) => {
                let dropped = decoder.consume(0);
                buffer.drain(..dropped);
                if arrived == bytes.len() {
                    return (requests, None);
                }
                let length = pieces
                    .get(turn % pieces.len().max(1))
                    .map_or(bytes.len(), |piece| usize::from(*piece).max(1));
                let end = bytes.len().min(arrived + length);
                buffer.extend_from_slice(&bytes[arrived..end]);
                (arrived, turn) = (end, turn + 1);
            }
            Ok(count) => {
                // Sometimes only the first of them run, as in a pause.
                let taken = if turn % 3 == 0 { 1 } else { count };
                for index in 0..taken {
                    let mut arguments = Vec::new();
                    decoder.arguments(&buffer, index, &mut arguments);
                    assert_eq!(arguments.len(), decoder.argument_count(index));
                    requests.push(arguments.into_iter().map(<[u8]>::to_vec).collect());
                }
                let dropped = decoder.consume(taken);
                buffer.drain(..dropped);
            }
        }
    }
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (pieces, bytes) = input;
    assert_eq!(decode(&bytes, &[]), decode(&bytes, &pieces));
});
