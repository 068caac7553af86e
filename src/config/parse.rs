//! The form of a configuration file: a directive a line, arguments in quotes where they need it, comments,
//! and `include`.

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::value::system_words;
use crate::glob;

/// How deep files may include each other.
const MAX_INCLUDE_DEPTH: usize = 16;
/// Size of a file in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// What is wrong with a configuration. The texts name the file, the line and the directive, and no value,
/// which may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("can't read the configuration file '{}': {reason}", path.display())]
    Read {
        /// Path of the file, as it was given.
        path: PathBuf,
        /// What the operating system says.
        reason: String,
    },
    /// Files include each other too deep, or in a circle.
    #[error("{file}:{line}: files include each other more than {MAX_INCLUDE_DEPTH} deep")]
    IncludeDepth {
        /// Path of the file, as it was given.
        file: Arc<str>,
        /// The line, from 1.
        line: usize,
    },
    /// A line of a file is wrong.
    #[error("{file}:{line}: {directive}: {reason}")]
    Line {
        /// Path of the file, as it was given.
        file: Arc<str>,
        /// The line, from 1.
        line: usize,
        /// The first word of the line.
        directive: String,
        /// What is wrong.
        reason: String,
    },
    /// An option of the command line, or a pair given by the program, is wrong.
    #[error("--{directive}: {reason}")]
    Option {
        /// Name of the directive, as it was given.
        directive: String,
        /// What is wrong.
        reason: String,
    },
}

/// Where a statement was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A line, from 1, of a file.
    File(Arc<str>, usize),
    /// The command line or the program.
    Option,
}

/// A directive with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Where it stands.
    pub source: Source,
    /// Name in small letters.
    pub name: String,
    /// What follows the name.
    pub args: Vec<Vec<u8>>,
}

impl Statement {
    /// A statement of the command line or of the program.
    pub fn option(name: &str, args: Vec<Vec<u8>>) -> Self {
        Self { source: Source::Option, name: name.to_ascii_lowercase(), args }
    }

    /// The error that this statement is wrong for that reason.
    pub fn error(&self, reason: impl Into<String>) -> ConfigError {
        let (directive, reason) = (self.name.clone(), reason.into());
        match &self.source {
            Source::File(file, line) => {
                ConfigError::Line { file: Arc::clone(file), line: *line, directive, reason }
            }
            Source::Option => ConfigError::Option { directive, reason },
        }
    }
}

/// Reads a file and what it includes.
///
/// # Errors
/// When a file cannot be read or a line has no closing quote.
pub fn read_file(path: &Path) -> Result<Vec<Statement>, ConfigError> {
    let mut statements = Vec::new();
    include_file(path, 0, &mut statements)?;
    Ok(statements)
}

/// Reads a configuration from a stream, such as the standard input. `name` stands for it in errors.
///
/// # Errors
/// As [`read_file`].
pub fn read_stream(name: &str, stream: impl Read) -> Result<Vec<Statement>, ConfigError> {
    let content =
        read_bounded(stream).map_err(|reason| ConfigError::Read { path: PathBuf::from(name), reason })?;
    let mut statements = Vec::new();
    read_lines(&content, &Arc::from(name), 0, &mut statements)?;
    Ok(statements)
}

/// Splits a line into arguments at blanks. In double quotes `\n`, `\r`, `\t`, `\b`, `\a`, `\xHH` and an
/// escaped other byte are understood, in single quotes only `\'`. A quote may begin and end in the middle of
/// an argument. `None` when one is not closed.
pub fn split_arguments(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut arguments = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(arguments);
        }
        let (argument, after) = first_argument(rest)?;
        arguments.push(argument);
        rest = after;
    }
}

/// The text as an argument: as it is where that is safe, else in double quotes. The inverse of
/// [`split_arguments`].
pub fn quote(text: &[u8]) -> String {
    let is_safe = |&byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    if !text.is_empty() && text.iter().all(is_safe) {
        return String::from_utf8_lossy(text).into_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for &byte in text {
        match byte {
            b'\\' => quoted.push_str("\\\\"),
            b'"' => quoted.push_str("\\\""),
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            0x07 => quoted.push_str("\\a"),
            0x08 => quoted.push_str("\\b"),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => {
                let _ = write!(quoted, "\\x{byte:02x}");
            }
        }
    }
    quoted.push('"');
    quoted
}

fn first_argument(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut argument = Vec::new();
    loop {
        match rest {
            [] => return Some((argument, rest)),
            [b' ' | b'\n' | b'\r' | b'\t', ..] => return Some((argument, rest)),
            [b'"', inside @ ..] => (argument, rest) = double_quoted(inside, argument)?,
            [b'\'', inside @ ..] => (argument, rest) = single_quoted(inside, argument)?,
            [byte, after @ ..] => {
                argument.push(*byte);
                rest = after;
            }
        }
    }
}

fn double_quoted(mut rest: &[u8], mut argument: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some((argument, after)),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] => {
                let byte = match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                };
                (byte, after)
            }
            [byte, after @ ..] => (*byte, after),
        };
        argument.push(byte);
        rest = after;
    }
}

fn single_quoted(mut rest: &[u8], mut argument: Vec<u8>) -> Option<(Vec<u8>, &[u8])> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [b'\'', after @ ..] => return Some((argument, after)),
            [byte, after @ ..] => (*byte, after),
        };
        argument.push(byte);
        rest = after;
    }
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit.to_ascii_lowercase() - b'a') + 10,
    }
}

fn include_file(path: &Path, depth: usize, statements: &mut Vec<Statement>) -> Result<(), ConfigError> {
    let failed = |reason| ConfigError::Read { path: path.to_owned(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(system_words(&error)))?;
    let content = read_bounded(file).map_err(failed)?;
    let name = Arc::from(path.to_string_lossy().as_ref());
    read_lines(&content, &name, depth, statements)
}

fn read_bounded(stream: impl Read) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    stream.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).map_err(|error| system_words(&error))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("longer than {MAX_FILE_BYTES} bytes"));
    }
    Ok(content)
}

fn read_lines(
    content: &[u8],
    file: &Arc<str>,
    depth: usize,
    statements: &mut Vec<Statement>,
) -> Result<(), ConfigError> {
    for (line, text) in (1..).zip(content.split(|&byte| byte == b'\n')) {
        let Some(statement) = read_line(text, file, line)? else { continue };
        if statement.name != "include" {
            statements.push(statement);
            continue;
        }
        let [pattern] = statement.args.as_slice() else {
            return Err(statement.error("wrong number of arguments"));
        };
        if depth + 1 >= MAX_INCLUDE_DEPTH {
            return Err(ConfigError::IncludeDepth { file: Arc::clone(file), line });
        }
        for path in included(Path::new(std::ffi::OsStr::from_bytes(pattern))) {
            include_file(&path, depth + 1, statements)?;
        }
    }
    Ok(())
}

/// Reads one line; `None` for a comment or an empty one.
pub(super) fn read_line(text: &[u8], file: &Arc<str>, line: usize) -> Result<Option<Statement>, ConfigError> {
    let text = text.trim_ascii();
    if text.is_empty() || text.starts_with(b"#") {
        return Ok(None);
    }
    let source = Source::File(Arc::clone(file), line);
    let Some(mut words) = split_arguments(text) else {
        let name = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let statement = Statement { source, name, args: Vec::new() };
        return Err(statement.error("unbalanced quotes in configuration line"));
    };
    if words.is_empty() {
        return Ok(None);
    }
    let args = words.split_off(1);
    let name = words.pop().map(|name| String::from_utf8_lossy(&name).to_ascii_lowercase());
    Ok(name.map(|name| Statement { source, name, args }))
}

/// The files an `include` names: the one, or with a pattern in its last part all that match, in order of
/// their names. A pattern may match nothing.
fn included(path: &Path) -> Vec<PathBuf> {
    let is_pattern = |name: &[u8]| name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
    let name = path.file_name().map(OsStrExt::as_bytes).unwrap_or_default();
    if !is_pattern(name) {
        return vec![path.to_owned()];
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| {
            let entry = entry.file_name();
            let hidden = entry.as_bytes().starts_with(b".") && !name.starts_with(b".");
            !hidden && glob::matches(name, entry.as_bytes(), false)
        })
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &str) -> Option<Vec<String>> {
        let words = split_arguments(line.as_bytes())?;
        Some(words.into_iter().map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
    }

    #[test]
    fn quotes_hold_blanks_and_escapes() {
        for (line, words) in [
            ("  port   7000 ", Some(vec!["port", "7000"])),
            (r#"a "b c" 'd e'"#, Some(vec!["a", "b c", "d e"])),
            (r#"a "\x41\n\"\\" "#, Some(vec!["a", "A\n\"\\"])),
            (r"a 'it\'s'", Some(vec!["a", "it's"])),
            (r#"a "" ''"#, Some(vec!["a", "", ""])),
            (r#"a"b""#, Some(vec!["ab"])),
            ("", Some(vec![])),
            (r#"a "b"#, None),
            (r#"a "b"c'd'"#, Some(vec!["a", "bcd"])),
            ("a 'b", None),
            ("a 'b'c", Some(vec!["a", "bc"])),
            ("a b'c", None),
        ] {
            let words = words.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(line), words, "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_splitting(texts: Vec<Vec<u8>>) {
            let line: Vec<String> = texts.iter().map(|text| quote(text)).collect();
            prop_assert_eq!(split_arguments(line.join(" ").as_bytes()), Some(texts));
        }

        #[test]
        fn splitting_never_panics(line: Vec<u8>) {
            if let Some(words) = split_arguments(&line) {
                prop_assert!(words.iter().map(Vec::len).sum::<usize>() <= line.len());
            }
        }
    }

    #[test]
    fn files_include_others_in_place() {
        let folder = crate::config::tests::Folder::new();
        folder.write("extra/b.conf", "timeout 2\n");
        folder.write("extra/a.conf", "timeout 1\n");
        let extra = folder.path().join("extra");
        let main = folder.write(
            "main.conf",
            &format!(
                "# first\nPORT 7000\ninclude {0}/*.conf\ninclude {0}/none-*.conf\nhz 5\n",
                extra.display()
            ),
        );
        let names: Vec<(String, Vec<u8>)> = read_file(&main)
            .expect("readable")
            .into_iter()
            .map(|statement| (statement.name, statement.args.concat()))
            .collect();
        let expected = [("port", "7000"), ("timeout", "1"), ("timeout", "2"), ("hz", "5")];
        let expected: Vec<(String, Vec<u8>)> =
            expected.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_circle_of_includes_ends() {
        let folder = crate::config::tests::Folder::new();
        let path = folder.path().join("main.conf");
        folder.write("main.conf", &format!("include {}\n", path.display()));
        assert!(matches!(read_file(&path), Err(ConfigError::IncludeDepth { line: 1, .. })));
    }

    #[test]
    fn errors_name_file_and_line_and_no_value() {
        let folder = crate::config::tests::Folder::new();
        let path = folder.write("main.conf", "port 1\n\nrequirepass \"secret\n");
        let error = read_file(&path).expect_err("unbalanced").to_string();
        assert!(
            error.ends_with("main.conf:3: requirepass: unbalanced quotes in configuration line"),
            "{error}"
        );
        let error = read_file(Path::new("/nonexistent.conf")).expect_err("missing").to_string();
        assert_eq!(error, "can't read the configuration file '/nonexistent.conf': No such file or directory");
    }
}
