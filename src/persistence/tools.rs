//! What the program does with files instead of serving: `kvarts check` and `kvarts convert`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::check::Check;
use super::rdb::convert;
use crate::rdb::file::FileVersion;

const USAGE: &str = "usage: kvarts check FILE|FOLDER [--fix]
       kvarts convert IN OUT [--rdb-version 9|10|11|12|80]

check says what an RDB file, an append-only file or a folder with a manifest holds, and what is wrong and
where; its exit status is 0 where nothing is. Of a folder all .rdb files are checked, and all that its manifest
or one in a folder below names. With --fix, an RDB file that ends too early is cut behind its last whole key,
and kept as it was as FILE.broken; of the last file of an append-only file, a request or transaction without
its end is cut off, and kept as FILE.cut. Whether a server knows the commands of an append-only file and can
compile the libraries of functions is not looked at: it refuses those when it starts, and says where.
convert writes a file of another version: 11 for Redis 7.2 and later and Valkey 7.2 and later (the default), 9
for Redis 5 and 6, 10 for Redis 7.0. Expiries of fields are kept by 12, for Redis 7.4 and 8, and by 80, for
Valkey 9.";

/// Exit statuses.
const RIGHT: u8 = 0;
const WRONG: u8 = 1;
const MISUSED: u8 = 2;

/// Does what the program's arguments (without its name) ask for, and returns its exit status. `None` where
/// they ask for a server.
pub fn run(arguments: &[OsString], out: &mut dyn Write) -> Option<u8> {
    let (name, rest) = arguments.split_first()?;
    let done = match name.to_str() {
        Some("check") => check_paths(rest, out),
        Some("convert") => convert_file(rest, out),
        _ => return None,
    };
    Some(done.unwrap_or_else(|error| {
        // Whoever has read enough of it closes the pipe.
        drop(writeln!(out, "{error}"));
        WRONG
    }))
}

fn misused(out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "{USAGE}")?;
    Ok(MISUSED)
}

fn check_paths(arguments: &[OsString], out: &mut dyn Write) -> io::Result<u8> {
    let (options, paths): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|word| word.as_encoded_bytes().starts_with(b"--"));
    let fixes = options.iter().any(|word| *word == "--fix");
    let [path] = paths[..] else { return misused(out) };
    if options.len() > usize::from(fixes) {
        return misused(out);
    }
    let is_right = Check { fixes, out }.path(Path::new(path))?;
    Ok(if is_right { RIGHT } else { WRONG })
}

fn convert_file(arguments: &[OsString], out: &mut dyn Write) -> io::Result<u8> {
    let (from, to, version) = match arguments {
        [from, to] => (from, to, OsStr::new("11")),
        [from, to, option, version] | [option, version, from, to] if option == "--rdb-version" => {
            (from, to, version.as_os_str())
        }
        _ => return misused(out),
    };
    let number = version.to_str().and_then(|number| number.parse().ok());
    let Some(version) = FileVersion::ALL.into_iter().find(|version| Some(version.number()) == number) else {
        return misused(out);
    };
    let mut beside = to.clone();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let named = |path: &OsStr, error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", Path::new(path).display()))
    };
    let source = File::open(from).map_err(|error| named(from, error))?;
    let target = BufWriter::new(File::create(&beside).map_err(|error| named(beside.as_os_str(), error))?);
    match convert::convert(source, target, version) {
        Ok(keys) => {
            File::open(&beside)?.sync_all()?;
            std::fs::rename(&beside, to)?;
            writeln!(out, "{}: {keys} keys", Path::new(to).display())?;
            Ok(RIGHT)
        }
        Err(error) => {
            // What there is of it is of no use.
            drop(std::fs::remove_file(&beside));
            writeln!(out, "{}: {error}", Path::new(from).display())?;
            Ok(WRONG)
        }
    }
}
