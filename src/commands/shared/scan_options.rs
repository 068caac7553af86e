//! The options of the SCAN family: MATCH, COUNT, TYPE, NOVALUES.

use crate::command::args;
use crate::error::CommandError;
use crate::glob;
use crate::keyspace::value::Object;

/// The options of the SCAN family.
pub struct ScanOptions<'a> {
    /// MATCH: a glob pattern; `None` where everything matches.
    pub pattern: Option<&'a [u8]>,
    /// COUNT: elements wanted a call, at least 1; 10 by default.
    pub count: usize,
    /// TYPE: one of [`Object::TYPE_NAMES`], in any case.
    pub type_name: Option<&'a [u8]>,
    /// NOVALUES of HSCAN: fields without values.
    pub no_values: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the words behind the cursor. `of_keys` is for SCAN, which alone knows TYPE.
    ///
    /// # Errors
    /// Unknown words, a count below one.
    pub fn parse(words: &[&'a [u8]], of_keys: bool) -> Result<Self, CommandError> {
        let mut options = Self { pattern: None, count: 10, type_name: None, no_values: false };
        let mut index = 0;
        while index < words.len() {
            let word = words[index];
            if args::is(word, "NOVALUES") {
                if of_keys {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.no_values = true;
                index += 1;
                continue;
            }
            let value = args::value_of(words, index)?;
            if args::is(word, "MATCH") {
                // `*` matches everything: without it nothing need be matched.
                options.pattern = (value != b"*").then_some(value);
            } else if args::is(word, "COUNT") {
                let count = args::int(value)?;
                options.count =
                    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)?;
            } else if args::is(word, "TYPE") && of_keys {
                if !Object::TYPE_NAMES.iter().any(|name| args::is(value, name)) {
                    return Err(CommandError::new(format!("ERR unknown type name '{}'", args::text(value))));
                }
                options.type_name = Some(value);
            } else {
                return Err(CommandError::Syntax);
            }
            index += 2;
        }
        Ok(options)
    }

    /// Whether a name matches the pattern.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }
}
