//! What every file of the source keeps to, so that a reader meets no surprise: widths, lengths, comments,
//! folders.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use kvarts::command::Group;

/// Columns of a line, those within literals of text not counted.
const WIDTH_MAX: usize = 120;
/// Lines of a function without a comment that begins with `// Long:` above it.
const FUNCTION_MAX: usize = 100;
/// Lines of a file below `src`.
const FILE_MAX: usize = 1_000;

/// Commands whose file lies in the folder of another group, and why.
const ELSEWHERE: &[(&str, &str)] =
    &[("restore-asking", "RESTORE under another name: the same entry but for its group and a flag")];

struct Source {
    /// Relative to the project.
    path: String,
    text: String,
}

impl Source {
    fn lines(&self) -> Vec<&str> {
        self.text.lines().collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of the program, its tests, benches and fuzz targets.
fn sources() -> Vec<Source> {
    let mut folders: Vec<PathBuf> =
        ["src", "tests/it", "benches", "fuzz"].map(|name| root().join(name)).into();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                // Where fuzzing builds and keeps its inputs.
                if !["target", "corpus", "artifacts"].iter().any(|name| path.ends_with(name)) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("readable");
                let path = path.strip_prefix(root()).expect("below the root").display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(found.len() > 200, "the source was found");
    found
}

fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// Where a reader of Rust code stands.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    Comment,
    /// In a literal of text; a raw one ends with so many `#`.
    Text(Option<usize>),
}

/// The width of each line, without what stands in literals of text.
fn widths(text: &str) -> Vec<usize> {
    let letters: Vec<char> = text.chars().collect();
    let (mut widths, mut width, mut state, mut at) = (Vec::new(), 0, State::Code, 0);
    while let Some(&letter) = letters.get(at) {
        let rest = &letters[at..];
        let mut len = 1;
        let mut counted = !matches!(state, State::Text(_));
        match state {
            _ if letter == '\n' => {
                widths.push(std::mem::take(&mut width));
                counted = false;
                if state == State::Comment {
                    state = State::Code;
                }
            }
            State::Code if rest.starts_with(&['/', '/']) => state = State::Comment,
            State::Code if letter == '"' => state = State::Text(None),
            State::Code if letter == 'r' && !at.checked_sub(1).is_some_and(|at| is_name(letters[at])) => {
                let marks = rest[1..].iter().take_while(|&&letter| letter == '#').count();
                if rest.get(1 + marks) == Some(&'"') {
                    state = State::Text(Some(marks));
                    len = marks + 2;
                }
            }
            // A letter in quotes, which may be a quote; else a lifetime.
            State::Code if letter == '\'' && rest.get(1) == Some(&'\\') => len = 3,
            State::Code if letter == '\'' && rest.get(2) == Some(&'\'') => len = 3,
            State::Text(None) if letter == '\\' && rest.get(1) != Some(&'\n') => len = 2,
            State::Text(None) if letter == '"' => (state, counted) = (State::Code, true),
            State::Text(Some(marks)) if letter == '"' => {
                if rest[1..].iter().take(marks).filter(|&&letter| letter == '#').count() == marks {
                    (state, counted, len) = (State::Code, true, 1 + marks);
                }
            }
            State::Code | State::Comment | State::Text(_) => {}
        }
        width += if counted { len } else { 0 };
        at += len;
    }
    widths.push(width);
    widths
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() && letter != 'b' || letter == '_'
}

/// The name of the item that a line begins, and whether it is a function.
fn item(line: &str) -> Option<(&str, bool)> {
    let mut rest = line.trim_start();
    let mut is_function = false;
    loop {
        if let Some(end) = rest.strip_prefix("pub(").and_then(|after| after.find(") ")) {
            rest = &rest["pub(".len() + end + 2..];
            continue;
        }
        let words =
            ["pub", "const", "static", "async", "unsafe", "fn", "struct", "enum", "trait", "type", "mod"];
        let word =
            words.iter().find(|word| rest.strip_prefix(**word).is_some_and(|rest| rest.starts_with(' ')));
        let Some(word) = word else { break };
        is_function |= *word == "fn";
        rest = rest[word.len()..].trim_start();
    }
    let end =
        rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    (end > 0).then(|| (&rest[..end], is_function))
}

/// The words of a name in snake or camel case, without case.
fn words_of(name: &str) -> HashSet<String> {
    let mut words = HashSet::new();
    let mut word = String::new();
    let mut after_capital = false;
    for letter in name.chars() {
        let capital = letter.is_ascii_uppercase();
        if !letter.is_ascii_alphanumeric() || capital && !after_capital {
            words.insert(std::mem::take(&mut word));
        }
        if letter.is_ascii_alphanumeric() {
            word.push(letter.to_ascii_lowercase());
        }
        after_capital = capital;
    }
    words.insert(word);
    words
}

/// Texts that go on the wire and tables of commands stand in literals and are as wide as they are; all else
/// is to be read without scrolling.
#[test]
fn lines_are_no_wider_than_a_screen() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (number, width) in widths(&source.text).into_iter().enumerate() {
            if width > WIDTH_MAX {
                wrong.push(format!("{}:{}: {width} columns", source.path, number + 1));
            }
        }
    }
    none(&wrong);
}

/// The measure of the test above: a literal counts as its quotes, over several lines too.
#[test]
fn widths_leave_literals_out() {
    assert_eq!(widths("let a = \"bcd\"; // \"e\""), [18]);
    assert_eq!(widths("f(r#\"a\"b\nccc\"#, '\"', b\"x\\\"y\", 'a)\n"), [5, 17, 0]);
}

/// A function ends with the brace that stands below its beginning, as rustfmt has it.
#[test]
fn long_functions_say_why() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.lines();
        for (start, line) in lines.iter().enumerate() {
            let Some((name, true)) = item(line) else { continue };
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let len = lines[start..].iter().take_while(|line| !line.starts_with(&end)).count() + 1;
            let one_line = line.ends_with(';') || line.ends_with('}');
            let above = lines[..start].iter().rev();
            let mut above =
                above.take_while(|line| ["//", "#["].iter().any(|mark| line.trim_start().starts_with(mark)));
            if !one_line && len > FUNCTION_MAX && !above.any(|line| line.contains("// Long:")) {
                wrong.push(format!("{}:{}: `{name}` has {len} lines", source.path, start + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn files_are_short_enough_to_be_known() {
    let long = |source: &Source| source.text.lines().count() > FILE_MAX;
    let wrong = sources().into_iter().filter(|source| source.path.starts_with("src/") && long(source));
    none(&wrong.map(|source| source.path).collect::<Vec<_>>());
}

/// Unsafe code is allowed for whole files, and those are named in ARCHITECTURE.md with the reason.
#[test]
fn unsafe_code_is_only_in_the_files_that_are_named_for_it() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page");
    let (_, section) = page.split_once("\n## Unsafe code\n").expect("its section");
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("/tidy.rs")) {
        for (number, line) in source.lines().into_iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default().trim();
            let named = section.contains(&format!("| `{}` |", source.path));
            let allows = ["allow(unsafe_code", "expect(unsafe_code"].iter().any(|what| code.contains(what));
            let in_a_text = code.contains('"');
            if allows && !in_a_text && !(named && code == "#![allow(unsafe_code)]") {
                wrong.push(format!("{}:{}: {code}", source.path, number + 1));
            }
        }
    }
    none(&wrong);
}

/// A comment of up to three words all of which are in the name says nothing: it wants a unit, a range or a
/// reason.
#[test]
fn comments_do_not_repeat_names() {
    let is_doc = |line: &&str| line.trim_start().starts_with("///");
    let mut wrong = Vec::new();
    for source in sources() {
        let lines = source.lines();
        for (at, line) in lines.iter().enumerate() {
            let alone = !lines[..at].last().is_some_and(is_doc) && !lines.get(at + 1).is_some_and(is_doc);
            let Some(comment) = line.trim_start().strip_prefix("///").filter(|_| alone) else { continue };
            let words = comment.split(|letter: char| !letter.is_ascii_alphanumeric());
            let words: Vec<String> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
            let mut below = lines[at + 1..].iter().filter(|line| !line.trim_start().starts_with("#["));
            let Some((name, _)) = below.next().and_then(|line| item(line)) else { continue };
            let of_name = words_of(name);
            let told = words.iter().filter(|word| !["a", "an", "the"].contains(&word.as_str()));
            let (count, repeated) =
                told.fold((0, 0), |(all, same), word| (all + 1, same + usize::from(of_name.contains(word))));
            if words.len() <= 3 && count > 0 && repeated == count {
                wrong.push(format!("{}:{}: `{name}`: {comment}", source.path, at + 1));
            }
        }
    }
    none(&wrong);
}

/// A comment that sends its reader to the head of the file, or says the head again, could have said what the
/// item is.
#[test]
fn comments_do_not_repeat_the_head_of_their_file() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("/tidy.rs")) {
        let lines = source.lines();
        let head: HashSet<&str> = lines.iter().filter_map(|line| line.strip_prefix("//! ")).collect();
        let first = lines.iter().skip_while(|line| !line.starts_with("///"));
        for line in first.take_while(|line| line.starts_with("///")) {
            if line.strip_prefix("/// ").is_some_and(|line| head.contains(line)) {
                wrong.push(format!("{}: {line}", source.path));
            }
        }
        for (number, line) in lines.iter().enumerate() {
            if ["the module's page", "the module's documentation"].iter().any(|words| line.contains(words)) {
                wrong.push(format!("{}:{}: {line}", source.path, number + 1));
            }
        }
    }
    none(&wrong);
}

#[test]
fn nothing_is_left_for_later_without_a_reason() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !source.path.ends_with("/tidy.rs")) {
        for (number, line) in source.lines().into_iter().enumerate() {
            let for_later = ["TODO", "FIXME", "XXX:"].iter().any(|word| line.contains(word));
            let ignored = line.contains("#[ignore") && !line.contains("#[ignore = \"");
            if for_later || ignored || line.contains("todo!(") || line.contains("unimplemented!(") {
                wrong.push(format!("{}:{}: {}", source.path, number + 1, line.trim()));
            }
        }
    }
    none(&wrong);
}

/// A test of a fault that was there, or of a limit, is kept by readers who know what it was about.
#[test]
fn tests_of_faults_and_limits_say_what_they_are_about() {
    let files =
        ["regression", "innocent", "limits", "hostile_scripts"].map(|name| format!("tests/it/{name}.rs"));
    let mut wrong = Vec::new();
    for source in sources().into_iter().filter(|source| files.contains(&source.path)) {
        let lines = source.lines();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.trim() == "#[test]") {
            let above = lines[..at].last().map(|line| line.trim_start());
            if !above.is_some_and(|above| above.starts_with("///") || above.starts_with("#[")) {
                wrong.push(format!("{}:{}: {line}", source.path, at + 1));
            }
        }
    }
    none(&wrong);
}

/// Folder or file below `src/commands` of a group that COMMAND shows.
fn shelf(group: Group) -> String {
    match group {
        Group::HyperLogLog => "hyperloglog.rs".to_owned(),
        Group::Pubsub | Group::Transactions => format!("{}.rs", group.name()),
        _ => format!("{}/", group.name().replace('-', "_")),
    }
}

/// The groups are the map of `src/commands`: an entry stands where a reader of COMMAND's answer looks for it.
#[test]
fn commands_stand_in_the_folder_of_their_group() {
    let sources: Vec<Source> =
        sources().into_iter().filter(|source| source.path.starts_with("src/commands/")).collect();
    let mut wrong = Vec::new();
    for command in kvarts::commands::groups().into_iter().flatten() {
        let quoted = format!("\"{}\"", command.name);
        let folder = format!("src/commands/{}", shelf(command.group));
        let mut within = sources.iter().filter(|source| source.path.starts_with(&folder));
        // An entry, or a call of the function that makes such entries.
        let stands =
            within.any(|source| source.text.contains("const COMMANDS") && source.text.contains(&quoted));
        let excepted = ELSEWHERE.iter().any(|(name, _)| *name == command.name);
        match (stands, excepted) {
            (false, false) => {
                wrong.push(format!("{} is of the group {}", command.name, command.group.name()))
            }
            (true, true) => wrong.push(format!("{} is no exception any more", command.name)),
            _ => {}
        }
    }
    none(&wrong);
}
