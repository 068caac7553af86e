//! [`Manifest`]: the list of files that make up an append-only file, as its own small file keeps it.
//!
//! A line is `file NAME seq NUMBER type LETTER`, with further pairs that are passed over. The base (`b`)
//! holds the data at one moment, the incremental files (`i`) what changed since, in the order of their
//! numbers; history (`h`) is no longer needed and is removed.

use thiserror::Error;

use crate::resp::decode::split_words;

/// Longest line, in bytes, its end included.
const LINE_MAX: usize = 1024;

/// Most files that a manifest may name.
const PARTS_MAX: usize = 100_000;

/// What a file of the list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// All data at one moment.
    Base,
    /// What changed since.
    Incremental,
    /// What a rewrite has replaced.
    History,
}

impl PartKind {
    fn letter(self) -> char {
        match self {
            PartKind::Base => 'b',
            PartKind::Incremental => 'i',
            PartKind::History => 'h',
        }
    }
}

/// A file of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its name in the folder.
    pub name: String,
    /// Its number among the files of its kind, from 1 on.
    pub sequence: u64,
    /// What it holds.
    pub kind: PartKind,
    /// The replication offset at which it begins and that at which it ends, as Redis from version 8 on notes
    /// them.
    pub offsets: (Option<u64>, Option<u64>),
}

/// The files of an append-only file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All data at one moment; `None` where everything is in incremental files.
    pub base: Option<Part>,
    /// What changed since, the oldest first.
    pub incremental: Vec<Part>,
    /// What is to be removed.
    pub history: Vec<Part>,
}

/// Why a manifest cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} (line {line} of the manifest)")]
pub struct ManifestError {
    /// Number of the line, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub what: Wrong,
}

/// What is wrong with a manifest; the texts are those that operators know from Redis.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    /// There is nothing in it.
    #[error("Found an empty AOF manifest")]
    Empty,
    /// A line is longer than 1024 bytes, or its end is missing.
    #[error("The AOF manifest file contains too long line")]
    LongLine,
    /// A line is not made of pairs, or one of the three that there have to be is missing.
    #[error("Invalid AOF manifest file format")]
    Format,
    /// A name leads out of the folder.
    #[error("File can't be a path, just a filename")]
    Path,
    /// A letter other than b, h, i.
    #[error("Unknown AOF file type")]
    Kind,
    /// A further base, where one is all there may be.
    #[error("Found duplicate base file information")]
    SecondBase,
    /// Incremental files are not in the order of their numbers.
    #[error("Found a non-monotonic sequence number")]
    Order,
    /// More files than any server makes.
    #[error("The AOF manifest file names too many files")]
    TooMany,
}

impl Manifest {
    /// Reads the bytes of a manifest.
    ///
    /// # Errors
    /// With the number of the line that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        let mut count = 0;
        let mut rest = bytes;
        while !rest.is_empty() {
            count += 1;
            let wrong = |what| ManifestError { line: count, what };
            let end = memchr::memchr(b'\n', &rest[..rest.len().min(LINE_MAX)]);
            let end = end.ok_or(wrong(Wrong::LongLine))?;
            let line = rest[..end].trim_ascii();
            rest = &rest[end + 1..];
            if line.starts_with(b"#") {
                continue;
            }
            if count > PARTS_MAX {
                return Err(wrong(Wrong::TooMany));
            }
            manifest.add(parse_line(line).map_err(wrong)?).map_err(wrong)?;
        }
        if manifest == Manifest::default() {
            return Err(ManifestError { line: count, what: Wrong::Empty });
        }
        Ok(manifest)
    }

    fn add(&mut self, part: Part) -> Result<(), Wrong> {
        match part.kind {
            PartKind::Base if self.base.is_some() => return Err(Wrong::SecondBase),
            PartKind::Base => self.base = Some(part),
            PartKind::History => self.history.push(part),
            PartKind::Incremental => {
                if self.incremental.last().is_some_and(|last| part.sequence <= last.sequence) {
                    return Err(Wrong::Order);
                }
                self.incremental.push(part);
            }
        }
        Ok(())
    }

    /// The manifest as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        for part in self.base.iter().chain(&self.history).chain(&self.incremental) {
            let Part { name, sequence, kind, offsets } = part;
            text.push_str("file ");
            push_name(name, &mut text);
            text.push_str(&format!(" seq {sequence} type {}", kind.letter()));
            for (key, offset) in [(" startoffset ", offsets.0), (" endoffset ", offsets.1)] {
                if let Some(offset) = offset {
                    text.push_str(key);
                    text.push_str(&offset.to_string());
                }
            }
            text.push('\n');
        }
        text.into_bytes()
    }

    /// The files to be loaded, in their order.
    pub fn live(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.incremental)
    }

    /// The incremental file that follows the last one. `stem` is the `appendfilename`.
    pub fn next_incremental(&self, stem: &str) -> Part {
        let sequence = self
            .incremental
            .last()
            .map_or(0, |part| part.sequence)
            .max(self.last_in_history(PartKind::Incremental))
            + 1;
        Part {
            name: format!("{stem}.{sequence}.incr.aof"),
            sequence,
            kind: PartKind::Incremental,
            offsets: (None, None),
        }
    }

    /// The base that follows the present one; `is_rdb` says in which form.
    pub fn next_base(&self, stem: &str, is_rdb: bool) -> Part {
        let sequence =
            self.base.as_ref().map_or(0, |part| part.sequence).max(self.last_in_history(PartKind::Base)) + 1;
        let form = if is_rdb { "rdb" } else { "aof" };
        Part {
            name: format!("{stem}.{sequence}.base.{form}"),
            sequence,
            kind: PartKind::Base,
            offsets: (None, None),
        }
    }

    /// The highest number among the history of one kind, which its name tells.
    fn last_in_history(&self, kind: PartKind) -> u64 {
        let mark = if kind == PartKind::Base { ".base." } else { ".incr." };
        let of_kind = self.history.iter().filter(|part| part.name.contains(mark));
        of_kind.map(|part| part.sequence).max().unwrap_or(0)
    }

    /// Makes `base` the base, and history of the one before and of the incremental files whose number is less
    /// than `first`.
    pub fn replace(&mut self, base: Part, first: u64) {
        let is_old = |part: &Part| part.sequence < first;
        let (old, kept): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut self.incremental).into_iter().partition(is_old);
        self.incremental = kept;
        let old = self.base.replace(base).into_iter().chain(old);
        self.history.extend(old.map(|part| Part { kind: PartKind::History, ..part }));
    }
}

fn parse_line(line: &[u8]) -> Result<Part, Wrong> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let is_whole = split_words(line, |word| words.push(word.to_vec()));
    if !is_whole || words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(Wrong::Format);
    }
    let (mut name, mut sequence, mut kind, mut offsets) = (None, None, None, (None, None));
    for pair in words.chunks_exact(2) {
        let value = std::str::from_utf8(&pair[1]).map_err(|_| Wrong::Format);
        let number = || value.ok().and_then(|value| value.parse::<u64>().ok());
        match &*pair[0].to_ascii_lowercase() {
            b"file" => {
                let value = value?;
                if value.is_empty() || value.contains(['/', '\\', '\0']) || value == "." || value == ".." {
                    return Err(Wrong::Path);
                }
                name = Some(value.to_owned());
            }
            b"seq" => sequence = number(),
            b"type" => {
                kind = Some(match &*pair[1] {
                    b"b" => PartKind::Base,
                    b"i" => PartKind::Incremental,
                    b"h" => PartKind::History,
                    _ => return Err(Wrong::Kind),
                });
            }
            b"startoffset" => offsets.0 = number(),
            b"endoffset" => offsets.1 = number(),
            _ => {}
        }
    }
    match (name, sequence, kind) {
        (Some(name), Some(sequence @ 1..), Some(kind)) => Ok(Part { name, sequence, kind, offsets }),
        _ => Err(Wrong::Format),
    }
}

/// Appends a name, in quotes where it has a byte that would end the word or is not shown.
fn push_name(name: &str, text: &mut String) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte);
    if name.bytes().all(is_plain) && !name.is_empty() {
        return text.push_str(name);
    }
    text.push('"');
    for byte in name.bytes() {
        match byte {
            b'\\' | b'"' => text.extend(['\\', char::from(byte)]),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = "file a.aof.2.base.rdb seq 2 type b\nfile a.aof.1.incr.aof seq 1 type h\n\
        file \"a b.3.incr.aof\" seq 3 type i\nfile a.aof.4.incr.aof seq 4 type i startoffset 7 endoffset 9\n";

    fn wrong(text: &str) -> (usize, Wrong) {
        let error = Manifest::parse(text.as_bytes()).unwrap_err();
        (error.line, error.what)
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let manifest = Manifest::parse(WHOLE.as_bytes()).unwrap();
        assert_eq!(manifest.to_bytes(), WHOLE.as_bytes());
        assert_eq!(manifest.base.as_ref().unwrap().sequence, 2);
        assert_eq!(manifest.incremental[0].name, "a b.3.incr.aof");
        assert_eq!(manifest.incremental[1].offsets, (Some(7), Some(9)));
        let names: Vec<&str> = manifest.live().map(|part| &*part.name).collect();
        assert_eq!(names, ["a.aof.2.base.rdb", "a b.3.incr.aof", "a.aof.4.incr.aof"]);
    }

    #[test]
    fn comments_and_unknown_pairs_are_passed_over() {
        let text = "# made by hand\nfile x seq 1 type i colour blue\n";
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.to_bytes(), b"file x seq 1 type i\n");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        assert_eq!(wrong(""), (0, Wrong::Empty));
        assert_eq!(wrong("# nothing\n"), (1, Wrong::Empty));
        assert_eq!(wrong("\n"), (1, Wrong::Format));
        assert_eq!(wrong("file x seq 1 type i\nfile y seq 2\n"), (2, Wrong::Format));
        assert_eq!(wrong("file x seq 1 type i odd\n"), (1, Wrong::Format));
        assert_eq!(wrong("file x seq 0 type i\n"), (1, Wrong::Format));
        assert_eq!(wrong("file \"x seq 1 type i\n"), (1, Wrong::Format));
        assert_eq!(wrong("file ../x seq 1 type i\n"), (1, Wrong::Path));
        assert_eq!(wrong("file x seq 1 type q\n"), (1, Wrong::Kind));
        assert_eq!(wrong("file x seq 1 type b\nfile y seq 2 type b\n"), (2, Wrong::SecondBase));
        assert_eq!(wrong("file x seq 2 type i\nfile y seq 2 type i\n"), (2, Wrong::Order));
        assert_eq!(wrong("file x seq 1 type i"), (1, Wrong::LongLine));
        assert_eq!(wrong(&format!("file {} seq 1 type i\n", "x".repeat(1100))), (1, Wrong::LongLine));
    }

    #[test]
    fn a_new_base_makes_history_of_what_it_replaces() {
        let mut manifest = Manifest::parse(WHOLE.as_bytes()).unwrap();
        let base = manifest.next_base("a.aof", false);
        let next = manifest.next_incremental("a.aof");
        assert_eq!((&*base.name, &*next.name), ("a.aof.3.base.aof", "a.aof.5.incr.aof"));
        let first = next.sequence;
        manifest.incremental.push(next);
        manifest.replace(base, first);
        assert_eq!(manifest.live().count(), 2);
        assert_eq!(manifest.history.len(), 4);
        assert_eq!(manifest.next_incremental("a.aof").sequence, 6);
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
    }

    #[test]
    fn every_beginning_and_every_changed_byte_is_read_or_refused() {
        for len in 0..WHOLE.len() {
            drop(Manifest::parse(&WHOLE.as_bytes()[..len]));
        }
        for at in 0..WHOLE.len() {
            for byte in 0..=255 {
                let mut bytes = WHOLE.as_bytes().to_vec();
                bytes[at] = byte;
                if let Ok(manifest) = Manifest::parse(&bytes) {
                    assert_eq!(Manifest::parse(&manifest.to_bytes()).as_ref(), Ok(&manifest));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "[^/\\\\\0]{1,60}", sequence in 1..u64::MAX) {
            prop_assume!(name != "." && name != "..");
            let part = Part { name, sequence, kind: PartKind::Incremental, offsets: (None, None) };
            let manifest = Manifest { incremental: vec![part], ..Manifest::default() };
            prop_assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        }
    }
}
