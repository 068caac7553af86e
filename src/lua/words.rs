//! The words of a command that a script calls.

use mlua::{MultiValue, Value};
use smallvec::SmallVec;

use crate::error::CommandError;

/// A buffer of words that is larger than this is not kept for the next command.
const WORDS_KEPT_MAX: usize = 64 * 1024;

/// The words of a command, one behind the other. They are copies: to keep borrowed what Lua lends would cost
/// more.
#[derive(Debug, Default)]
pub struct Words {
    /// The bytes of all words.
    pub bytes: Vec<u8>,
    /// Where each word ends in them.
    pub ends: SmallVec<[usize; 8]>,
    /// Names of commands as scripts wrote them, with the numbers of the entries they meant.
    pub names: Vec<(Box<[u8]>, usize)>,
}

impl Words {
    /// Takes the words out of a call's arguments. Together they may be `limit` bytes long: a script can name
    /// one text any number of times, so they may be far more than it holds.
    ///
    /// # Errors
    /// No words, one that is neither a text nor a number, too many bytes.
    pub fn fill(&mut self, arguments: &MultiValue, limit: usize) -> Result<(), CommandError> {
        if self.bytes.capacity() > WORDS_KEPT_MAX {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
        self.ends.clear();
        if arguments.is_empty() {
            return Err(CommandError::text("ERR Please specify at least one argument for this call"));
        }
        for argument in arguments {
            match argument {
                Value::String(text) if text.as_bytes().len() > limit.saturating_sub(self.bytes.len()) => {
                    return Err(CommandError::text("ERR not enough memory"));
                }
                Value::String(text) => self.bytes.extend_from_slice(&text.as_bytes()),
                Value::Integer(number) => {
                    self.bytes.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
                }
                Value::Number(number) => {
                    self.bytes.extend_from_slice(&crate::primitives::number::format_f64(*number));
                }
                _ => return Err(CommandError::text("ERR Command arguments must be strings or integers")),
            }
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }
}

/// The single words.
pub fn split<'b>(bytes: &'b [u8], ends: &[usize]) -> SmallVec<[&'b [u8]; 8]> {
    let mut words = SmallVec::with_capacity(ends.len());
    let mut start = 0;
    for &end in ends {
        words.push(&bytes[start..end]);
        start = end;
    }
    words
}
