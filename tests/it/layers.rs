//! Rooms import downwards only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. A room may import those on lower floors, not its neighbours and none above.
const FLOORS: &[&[&str]] = &[
    &["alloc", "error", "glob", "primitives", "profile", "random", "worker"],
    &["config", "types"],
    &["keyspace", "logging", "resp"],
    &["aof", "command", "journal", "rdb"],
    &["acl", "cluster", "lua", "replication"],
    &["shared"],
    &["effects"],
    &["engine"],
    &["figures", "net", "persistence", "scripting"],
    &["commands", "http"],
    &["run"],
];

/// Imports against the order: the importing file, the room it imports, and the reason. There is none, and
/// none is to come back; an entry that no file needs any more fails the test.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Where a room is imported: file, line, room.
struct Import {
    file: PathBuf,
    line: usize,
    room: String,
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The room a file is of: the folder or file below `src`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix("src").expect("below src");
    let first = below.components().next().expect("a name").as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// All rooms that production code names after `crate::`. Unit tests may look anywhere.
fn imports() -> Vec<Import> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    files_below(&root.join("src"), &mut files);
    let mut imports = Vec::new();
    for path in files {
        let file = path.strip_prefix(root).expect("below the root").to_owned();
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        if is_test || ["lib.rs", "main.rs"].iter().any(|name| path.ends_with(Path::new("src").join(name))) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable");
        for (number, line) in text.lines().enumerate() {
            if line.trim_start() == "#[cfg(test)]"
                && text.lines().nth(number + 1).is_some_and(|next| next.contains("mod tests"))
            {
                break; // They stand last in their file.
            }
            let code = line.split("//").next().unwrap_or_default();
            for after in code.split("crate::").skip(1) {
                let end = after.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let room = after[..end.unwrap_or(after.len())].to_owned();
                imports.push(Import { file: file.clone(), line: number + 1, room });
            }
        }
    }
    imports
}

/// The floors as ARCHITECTURE.md shows them, the highest first.
pub fn map_of_floors() -> String {
    let floors = FLOORS.iter().enumerate().rev();
    let lines = floors.map(|(floor, rooms)| format!("{floor:>2}  {}\n", rooms.join("  ")));
    format!("```\n{}```\n", lines.collect::<String>())
}

#[test]
fn rooms_import_downwards_only() {
    let mut wrong = Vec::new();
    let mut used: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for Import { file, line, room } in imports() {
        // What lib.rs defines itself (`crate::VERSION`) is nobody's room.
        let Some(imported) = floor_of(&room) else { continue };
        let own_room = room_of(&file);
        let own =
            floor_of(&own_room).unwrap_or_else(|| panic!("{} is of no room with a floor", file.display()));
        if imported < own || own_room == room {
            continue;
        }
        let exception = EXCEPTIONS.iter().find(|(path, to, _)| Path::new(path) == file && *to == room);
        match exception {
            Some((path, to, _)) => *used.entry((path, to)).or_default() += 1,
            None => wrong.push(format!(
                "{}:{line}: {own_room} (floor {own}) imports {room} (floor {imported}): only floors below {own} may be imported",
                file.display()
            )),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unused: Vec<_> =
        EXCEPTIONS.iter().filter(|(path, to, _)| !used.contains_key(&(*path, *to))).collect();
    assert!(unused.is_empty(), "exceptions that no import needs any more: {unused:?}");
}

/// A room without a floor would be looked at by nobody.
#[test]
fn every_room_has_a_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for entry in std::fs::read_dir(root).expect("src") {
        let name = entry.expect("an entry").file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        if !["lib", "main"].contains(&name.as_str()) {
            assert!(floor_of(&name).is_some(), "src/{name} has no floor in tests/it/layers.rs");
        }
    }
}
