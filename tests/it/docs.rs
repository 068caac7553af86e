//! The pages that are made from the source, and what the pages written by hand promise. `make docs` writes
//! the made ones.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use kvarts::command::{Family, Group};
use kvarts::config::{self, Directive};
use kvarts::engine::command::Command;

use crate::harness::*;

const CONFIGURATION_HEAD: &str = "\
# Configuration

<!-- Made by `make docs` from the table of directives in src/config/table. -->

A directive stands in a configuration file as `name value`, and on the command line as `--name value`; the command line
has the last word. `kvarts --help` lists the same. Names, defaults and ranges are those of Valkey 9.1; only
`read-only-port`, `tls-only`, `tls-auto-names`, `metrics-port`, `metrics-bind`, `transaction-rollback` and those of the
last part are Kvarts's own. The column *At run time* says whether `CONFIG SET` may change a directive; *protected* ones only where `enable-protected-configs` allows it. Directives
marked *No effect yet* are accepted, checked, shown by `CONFIG GET` and written by `CONFIG REWRITE`, so that an existing
file works, and nothing else follows from them.

";

const COMMANDS_HEAD: &str = "\
# Commands

<!-- Made by `make docs` from the table of commands in src/commands. -->

What stands here is there; any other command is answered with the error for an unknown command.
The last column names the version of Redis or of Valkey that first had a command; it is empty for what both have always
had. A command of one of them works here as it works there. Where both have it and answer a wrong request in different words,
the words are those of Valkey. The key specs of COMMAND INFO are Valkey's too, without its notes on some of them.

";

const METRICS_HEAD: &str = "\
# Figures

<!-- Made by `make docs` from the table of figures in src/figures. -->

What the server shows of itself: as fields of `INFO`, and as metrics for Prometheus at `/metrics` of `metrics-port`.
Metrics whose name begins with `redis_` have the names, types, labels and values that redis_exporter gives them, so that
dashboards made for it work; those with `kvarts_` are the server's own. A *gauge* rises and falls; of a *counter* the
increase is of interest, it begins anew with the server and, where it is a statistic, with `CONFIG RESETSTAT`. A
*constant* is the same in every server, for the reason that info-constants.md gives. Metrics have the unit of their
name: seconds where the field has milliseconds. Which figure to look at for which trouble is in operating.md.

";

/// The order of the headings.
const GROUPS: [(Group, &str); 16] = [
    (Group::Generic, "Keys"),
    (Group::String, "Strings"),
    (Group::Bitmap, "Bitmaps"),
    (Group::Hash, "Hashes"),
    (Group::List, "Lists"),
    (Group::Set, "Sets"),
    (Group::SortedSet, "Sorted sets"),
    (Group::HyperLogLog, "HyperLogLog"),
    (Group::Geo, "Geo"),
    (Group::Stream, "Streams"),
    (Group::Pubsub, "Publish and subscribe"),
    (Group::Transactions, "Transactions"),
    (Group::Scripting, "Scripts and functions"),
    (Group::Connection, "Connections"),
    (Group::Server, "Server"),
    (Group::Cluster, "Cluster"),
];

#[test]
fn the_configuration_page_is_that_of_the_table() {
    made("docs/configuration.md", &(CONFIGURATION_HEAD.to_owned() + config::markdown().trim_end() + "\n"));
}

const PROFILES_HEAD: &str = "\
# Profiles

<!-- Made by `make docs` from the files in profiles. -->

With `--profile NAME` the server behaves as the endpoint of a cloud service does, so that what does not run there does not
run on a laptop either: restricted commands, limits, keys that have to share a slot, how the cluster is told, TLS. Each
line below rests on a public fact or on an assumption, and names its source; below each table stands what is assumed.
`--profile FILE` loads a profile of one's own. A setting of a profile is a default: what the configuration file and the command line say wins over it.

With `--profile-mode warn` nothing is refused that a server without the profile would serve, and connections without TLS
are let in; what the service would refuse is recorded by rule, command, pattern of keys and client. (In `enforce` they hang
as there, and only the log says why; with `tls-only no` on the command line or in the file they are served, and recorded.
MOVED on the read-only port is part of the protocol of clusters, and is answered in both modes.) In `enforce`, the usual
mode, it is recorded as well.

In a pattern `*` stands for numbers, ids and long texts; a number of one or two digits before a letter (`user2fa`) is part
of the name. Of requests that name no key the channel, the pattern of KEYS or the parameters of CONFIG are told, never
values. Of a command that there is not no other refusal is told.

The findings are told

- by `KVARTS COMPAT`, and forgotten after `KVARTS COMPAT RESET`,
- at `/compat.json` of `metrics-port`,
- in the file of `--compat-report FILE`, which is written at the end: as SARIF where the name ends in `.sarif`, as JUnit
  XML where it ends in `.xml` (`time` is how long a finding was met, from its first time to its last), else as JSON. A relative path begins at `dir`. With `--compat-fail` findings give the exit
  status 1. A report of before is taken away at the start: where there is none, the server did not come to its end.

At most 1,000 different findings are kept apart, 200 of a rule; further ones are counted by rule and command (`…` stands for
their keys and clients), and what is too many even so is counted (`left-out`).

A test run in a pipeline, for example:

```
kvarts --profile elasticache-serverless --profile-mode warn --compat-report compat.xml --compat-fail
```

A client through the Unix socket needs no TLS under any profile. Requests of the append-only file, of a primary and of
the console are held against no rule.

## The file of a profile

TOML with `title`, `about`, a table `sources`, and three kinds of entries, each with `basis` (`fact` or `assumption`) and
`source` (a name in `sources`):

- `[[setting]]`: `directive` and `value`; with `mode` only in that mode.
- `[[shape]]`, how the cluster is told: `feature` is `host-in-place` (the host name stands where the address does),
  `bare-slots` (CLUSTER SLOTS without lists of further names) or `node-id-zeros` (`value` zeros end the ids of nodes); and
  `small-letters` (the error for an unknown command repeats its name in small letters).
- `[[rule]]`: a `name`, the `commands` that it is about (`get`, `config|get`; a container's name stands for its subcommands
  too; none for all commands, but those of `except`), `when`, `answer` and `fix` (what to do instead, a sentence with its
  full stop); with `answer-basis` where the words of the answer rest on something else than the rule.

| `when` | Which requests |
|---|---|
| `always` (the default) | every one |
| `in-transaction` | those in a transaction |
| `watching` | those of a client that watches keys |
| `without-keys` | those that name no key |
| `other-database` | those that name another database than 0 |
| `arguments-over` | those with more than `limit` arguments, the name included |
| `key-bytes-over`, `channel-bytes-over` | those with a key, or channel, of more than `limit` bytes |
| `argument-bytes-over` | those whose argument `argument` has more than `limit` bytes |
| `watched-keys-over` | those with which more than `limit` keys are watched |
| `watched-slots` | those with which keys of several slots are watched; of EXEC, with keys of another slot than the watched ones |
| `several-slots` | those, and transactions, with keys of several slots |
| `reaches-further` | those that reach for keys of other slots by patterns |
| `queued-slots` | those queued in a transaction with keys of another slot than its others |
| `script-slots` | those of a script that reach for a key of another slot than the script's others |
| `script-channel-slot` | those of a script with a channel of another slot than the script's keys |
| `channels-like` | those with a channel, or pattern, that begins as one of `channels` does |
| `newer-than` | those for commands that came after `version` of Valkey, or that only Redis has |
| `plain-connection` | connections without TLS; the answer is `hang` |

An `answer` is `unknown` (the error for an unknown command), `ok` (OK, and nothing is done), `note` (only recorded), `hang`,
or an error with its code.

";

#[test]
fn the_profiles_page_is_that_of_the_files() {
    let profiles = kvarts::profile::markdown().expect("profiles");
    made("docs/profiles.md", &(PROFILES_HEAD.to_owned() + profiles.trim_end() + "\n"));
}

#[test]
fn the_metrics_page_is_that_of_the_table() {
    made("docs/metrics.md", &(METRICS_HEAD.to_owned() + kvarts::figures::markdown().trim_end() + "\n"));
}

#[test]
fn the_commands_page_is_that_of_the_table() {
    let commands: Vec<&Command> = kvarts::commands::groups().into_iter().flatten().collect();
    let mut page = COMMANDS_HEAD.to_owned();
    for (group, title) in GROUPS {
        let mut rows: Vec<String> = commands
            .iter()
            .filter(|command| command.group == group)
            .flat_map(|command| rows(command))
            .collect();
        if !rows.is_empty() {
            rows.sort();
            let _ = write!(
                page,
                "## {title}\n\n| Command | What it does | Since |\n|---|---|---|\n{}\n",
                rows.concat()
            );
        }
    }
    for command in commands {
        assert!(page.contains(&format!("| `{}", command.name.to_uppercase())), "{} has a row", command.name);
    }
    made("docs/commands.md", &(page.trim_end().to_owned() + "\n"));
}

#[test]
fn architecture_shows_the_floors() {
    made_part("ARCHITECTURE.md", "floors", &crate::layers::map_of_floors());
}

#[test]
fn the_readme_compares_the_command_sets() {
    made_part("README.md", "families", &crate::families::table());
}

/// What a page sets in code font.
fn code_of(page: &str) -> impl Iterator<Item = &str> {
    page.split('`').skip(1).step_by(2)
}

/// A file that was moved or renamed would leave its reader in the dark.
#[test]
fn architecture_names_files_that_exist() {
    let page = read("ARCHITECTURE.md");
    let named = code_of(&page).filter(|text| text.starts_with("src/") || text.starts_with("tests/"));
    let files = named.map(|text| text.split("::").next().unwrap_or(text));
    let missing: Vec<&str> = files.filter(|path| !root().join(path).exists()).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

/// The paths of this page are those below `src`, as its sentences are long enough.
#[test]
fn mechanisms_name_files_that_exist() {
    let page = read("docs/mechanisms.md");
    let is_path = |text: &&str| text.contains('/') && (text.ends_with(".rs") || text.ends_with('/'));
    let paths: Vec<&str> = code_of(&page).filter(is_path).collect();
    let exists = |path: &str| root().join("src").join(path).exists() || root().join(path).exists();
    let missing: Vec<&str> = paths.iter().copied().filter(|path| !exists(path)).collect();
    assert_eq!(missing, Vec::<&str>::new());
    assert!(paths.len() >= 15, "the page names its files: {paths:?}");
}

/// An operator in trouble looks for a figure by its name.
#[test]
fn operating_names_figures_that_exist() {
    let (page, figures) = (read("docs/operating.md"), read("docs/metrics.md"));
    let is_figure = |text: &&str| {
        text.contains('_') && text.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_')
    };
    let named: Vec<&str> = code_of(&page).filter(is_figure).collect();
    assert!(named.len() >= 30, "the page was read: {named:?}");
    let missing: Vec<_> = named.iter().filter(|name| !figures.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// An invariant that no test keeps is a wish.
#[test]
fn each_invariant_names_tests_that_exist() {
    let page = read("ARCHITECTURE.md");
    let (_, section) = page.split_once("\n## Invariants\n").expect("the section begins");
    let (section, _) = section.split_once("\n## ").expect("the section ends");
    let mut invariants: Vec<String> = Vec::new();
    for line in section.lines() {
        let number = line.split_once(". ").and_then(|(number, _)| number.parse::<usize>().ok());
        if let Some(number) = number {
            invariants.push(String::new());
            assert_eq!(number, invariants.len(), "they are numbered in a row: {line}");
        }
        if let Some(last) = invariants.last_mut() {
            *last += line;
        }
    }
    assert!(invariants.len() >= 15, "the invariants were found");
    for invariant in invariants {
        let tests: Vec<(&str, &str)> = code_of(&invariant).filter_map(|text| text.split_once("::")).collect();
        assert!(!tests.is_empty(), "no test keeps this: {invariant}");
        for (path, name) in tests {
            let text = read(path);
            let at = text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("{path} has no {name}"));
            assert!(text[..at].trim_end().ends_with("#[test]"), "{path}: {name} is no test");
        }
    }
}

#[test]
fn architecture_is_short_enough_to_be_read() {
    assert!(read("ARCHITECTURE.md").lines().count() < 300);
}

#[test]
fn architecture_names_every_module_with_unsafe_code() {
    let page = read("ARCHITECTURE.md");
    let unsafe_files =
        source_files().into_iter().filter(|path| read(path).contains("#![allow(unsafe_code)]"));
    let missing: Vec<String> = unsafe_files.filter(|path| !page.contains(path.as_str())).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_example_configuration_says_what_is_the_default_anyway() {
    let file = root().join("kvarts.conf");
    let config = config::from_args([OsString::from("kvarts"), file.into_os_string()]).expect("it is read");
    assert_eq!(config.int(Directive::Port), 6379);
    assert_eq!(config.read_only_port(), 6380);
    let text = read("kvarts.conf");
    let named = text.lines().filter_map(|line| line.strip_prefix("# ").unwrap_or(line).split(' ').next());
    let known = named.filter(|word| config::table::find(word.as_bytes()).is_some()).count();
    assert!(known >= 15, "the example names {known} directives");
}

/// The rows of a command: one, or one for each subcommand. The bar is a column's end in Markdown, so it is
/// written escaped.
fn rows(command: &Command) -> Vec<String> {
    let row = |name: String, command: &Command, family: Family| {
        let call = format!("{name} {}", kvarts::command::syntax::shown(command.syntax))
            .trim_end()
            .replace('|', "\\|");
        format!("| `{call}` | {} | {} |\n", command.summary, family.shown()).replace("|  |", "| |")
    };
    let name = command.name.to_uppercase();
    if command.subcommands.is_empty() {
        return vec![row(name, command, command.family)];
    }
    let rows = command.subcommands.iter().map(|sub| {
        // A subcommand is as old as its command unless it says otherwise.
        let family = if sub.family == Family::Both { command.family } else { sub.family };
        row(format!("{name} {}", sub.name.to_uppercase()), sub, family)
    });
    rows.collect()
}

/// Holds a page against what it must be, or writes it when asked to.
fn made(path: &str, text: &str) {
    if std::env::var_os("KVARTS_WRITE_DOCS").is_some() {
        std::fs::write(root().join(path), text).expect("the page can be written");
    }
    let written = std::fs::read_to_string(root().join(path)).unwrap_or_default();
    assert!(written == text, "{path} is not what the source says: run `make docs`");
}

/// The same for the part of a page between two marks.
fn made_part(path: &str, name: &str, text: &str) {
    let page = read(path);
    let (begin, end) = (format!("<!-- {name}: made by `make docs` -->\n"), "<!-- end -->\n");
    let (before, rest) = page.split_once(&begin).expect("the part begins");
    let (_, after) = rest.split_once(end).expect("the part ends");
    made(path, &format!("{before}{begin}{text}{end}{after}"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the source, relative to the project.
fn source_files() -> Vec<String> {
    let mut folders = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the source") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(relative) = path.strip_prefix(root()) {
                files.push(relative.display().to_string());
            }
        }
    }
    files
}

/// The words of a reply: of nested ones all in their order.
fn words_of(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(words_of).collect(),
        Value::Null | Value::NullArray => vec!["(nil)".to_owned()],
        Value::Int(number) => vec![number.to_string()],
        value => vec![value.text()],
    }
}

/// Recipes are copied, so each line has to do what its page says: alone, in cluster mode, and under the profile of an
/// endpoint that refuses a lot.
#[test]
fn recipes_answer_what_their_page_says() {
    let page = read("docs/recipes.md");
    let blocks = page.split("```redis\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    let lines: Vec<&str> = blocks.flat_map(str::lines).collect();
    assert!(lines.len() > 30, "the page has recipes");
    let settings: [&[(&str, &str)]; 3] = [
        &[],
        &[("cluster-enabled", "yes")],
        &[("profile", "elasticache-serverless"), ("profile-mode", "warn")],
    ];
    for pairs in settings {
        let server = TestServer::with(pairs);
        let mut client = server.client();
        for line in &lines {
            let (command, expected) = line.split_once("=>").unwrap_or_else(|| panic!("no reply: {line}"));
            let words = words_of(&client.value(command.trim()));
            assert_eq!(words.join(" ").trim_end_matches(" "), expected.trim(), "{command}");
        }
        // One of them is not there, as its text says.
        if server.handle().server().profile.is_some() {
            let found = client.value("KVARTS COMPAT").field("findings");
            let commands: Vec<String> = found.items().iter().map(|one| one.field("command").text()).collect();
            let expected = ["", "delifeq"];
            assert!(commands.iter().all(|command| expected.contains(&&**command)), "{commands:?}");
        }
    }
}
