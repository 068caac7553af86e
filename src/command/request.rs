//! A request kept for later: queued in a transaction, or of a client that waits.

use smallvec::SmallVec;

/// The arguments of a request, copied into one run of bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRequest {
    bytes: Vec<u8>,
    /// Where each argument ends in `bytes`.
    ends: Vec<usize>,
}

/// Arguments borrowed from an [`OwnedRequest`].
pub type Arguments<'a> = SmallVec<[&'a [u8]; 8]>;

impl OwnedRequest {
    /// A copy of these arguments.
    pub fn new(arguments: &[&[u8]]) -> Self {
        let mut request = Self {
            bytes: Vec::with_capacity(arguments.iter().map(|argument| argument.len()).sum()),
            ends: Vec::with_capacity(arguments.len()),
        };
        for argument in arguments {
            request.bytes.extend_from_slice(argument);
            request.ends.push(request.bytes.len());
        }
        request
    }

    /// The arguments, the command's name first.
    pub fn arguments(&self) -> Arguments<'_> {
        let mut start = 0;
        self.ends
            .iter()
            .map(|&end| {
                let argument = &self.bytes[start..end];
                start = end;
                argument
            })
            .collect()
    }

    /// Bytes of memory it takes.
    pub fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

/// Bytes that a request takes on the wire.
pub fn resp_bytes(arguments: &[&[u8]]) -> u64 {
    // A line is its mark, its digits and its end.
    let line = |number: usize| 3 + u64::from(number.checked_ilog10().unwrap_or(0) + 1);
    let argument = |argument: &&[u8]| line(argument.len()) + argument.len() as u64 + 2;
    line(arguments.len()) + arguments.iter().map(argument).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_on_the_wire() {
        let get: [&[u8]; 2] = [b"get", b"0123456789"];
        assert_eq!(resp_bytes(&get), b"*2\r\n$3\r\nget\r\n$10\r\n0123456789\r\n".len() as u64);
        assert_eq!(resp_bytes(&[b"".as_slice()]), b"*1\r\n$0\r\n\r\n".len() as u64);
    }

    #[test]
    fn arguments_come_back() {
        let arguments: [&[u8]; 4] = [b"set", b"", b"key", b"\r\n"];
        assert_eq!(OwnedRequest::new(&arguments).arguments()[..], arguments);
        assert!(OwnedRequest::new(&[]).arguments().is_empty());
    }
}
