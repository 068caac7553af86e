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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back() {
        let arguments: [&[u8]; 4] = [b"set", b"", b"key", b"\r\n"];
        assert_eq!(OwnedRequest::new(&arguments).arguments()[..], arguments);
        assert!(OwnedRequest::new(&[]).arguments().is_empty());
    }
}
