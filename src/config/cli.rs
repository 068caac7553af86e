//! The command line: a configuration file, and any directive as `--name value ...`, which has the last word.
//!
//! The options are made from the table, so there is none that the file does not know and the other way round.
//! Arguments follow the rules of redis-server: an option takes everything up to the next one, a directive
//! with a single value takes the next argument whatever it is, and an option repeated is a line repeated.
//! clap sees each option as one `--name=arguments`; that way values such as `-::1` need no escape.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::docs::values;
use super::parse::{ConfigError, Statement, quote, read_file, read_stream, split_arguments};
use super::store::Config;
use super::table::{GROUPS, Kind, OBSOLETE, Spec, find};

/// Statements that are no directives of the table and may stand on the command line as well.
const STATEMENTS: &[&str] = &["include", "user", "role", "rename-command", "loadmodule"];
/// Id of the positional argument.
const FILE: &str = "configuration file";

/// Why the command line gave no configuration.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// `--help` was asked for; the text is the answer and belongs on the standard output.
    #[error("{0}")]
    Help(String),
    /// `--version` was asked for; the text is the answer and belongs on the standard output.
    #[error("{0}")]
    Version(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// A directive is wrong, in the file or on the command line.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl CliError {
    /// Status for the process to end with: 0 when the text is what was asked for, 1 for a wrong
    /// configuration, 2 for a wrong command line.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Help(_) | Self::Version(_) => 0,
            Self::Config(_) => 1,
            Self::Usage(_) => 2,
        }
    }
}

/// Reads the command line, and the file and standard input it names. The first argument is the program's
/// name.
///
/// # Errors
/// With what to print and [how to end](CliError::exit_code).
pub fn from_args(args: impl IntoIterator<Item = OsString>) -> Result<Config, CliError> {
    let line = CommandLine::read(args.into_iter().skip(1))?;
    let matches = command().try_get_matches_from(line.normalized()).map_err(from_clap)?;
    let mut statements = Vec::new();
    if let Some(path) = &line.file {
        statements.extend(read_file(path)?);
    }
    if line.stdin {
        statements.extend(read_stream("standard input", std::io::stdin().lock())?);
    }
    for option in options(&matches) {
        match (option.name.as_str(), option.args.as_slice()) {
            ("include", [path]) => statements.extend(read_file(Path::new(OsStr::from_bytes(path)))?),
            _ => statements.push(option),
        }
    }
    Ok(Config::from_statements(line.file.as_deref(), statements)?)
}

/// The command as clap knows it.
pub fn command() -> Command {
    let version =
        Arg::new("version").short('v').long("version").action(ArgAction::Version).help("Print the version.");
    let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print this help.");
    let file = Arg::new(FILE)
        .value_name("FILE")
        .num_args(0..=2)
        .help("Configuration file, in the form of redis.conf; - reads the standard input.");
    let mut command = Command::new("kvarts")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An in-memory server that speaks the Redis protocol.")
        .override_usage(
            "kvarts [FILE] [-] [--DIRECTIVE VALUE...]...\n       kvarts --health-check [FILE] [--port PORT] [--tls]\n       kvarts tls export --dir FOLDER\n       kvarts check FILE|FOLDER [--fix]\n       kvarts convert IN OUT [--rdb-version 9|10|11|12|80]",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args([file, help, version]);
    for (title, specs) in GROUPS {
        command = command.args(specs.iter().map(|spec| option(spec).help_heading(*title)));
    }
    for name in STATEMENTS.iter().chain(OBSOLETE) {
        command = command.arg(Arg::new(*name).long(*name).action(ArgAction::Append).hide(true));
    }
    command
}

fn option(spec: &'static Spec) -> Arg {
    let arg = Arg::new(spec.name)
        .long(spec.name)
        .action(ArgAction::Append)
        .num_args(1)
        .value_name("VALUE")
        .help(format!("{} [{}]", spec.doc, values(spec.kind)))
        .hide(spec.hidden);
    match spec.alias {
        Some(alias) => arg.alias(alias),
        None => arg,
    }
}

/// The options in the order they were given.
fn options(matches: &ArgMatches) -> Vec<Statement> {
    let mut found: Vec<(usize, Statement)> = Vec::new();
    for id in matches.ids() {
        let name = id.as_str();
        if name == FILE {
            continue;
        }
        let places = matches.indices_of(name).into_iter().flatten();
        let values = matches.get_many::<String>(name).into_iter().flatten();
        for (place, value) in places.zip(values) {
            // The quotes are ours, so they are balanced.
            let args = split_arguments(value.as_bytes()).unwrap_or_default();
            found.push((place, Statement::option(name, args)));
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, statement)| statement).collect()
}

fn from_clap(error: clap::Error) -> CliError {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp => CliError::Help(text),
        ErrorKind::DisplayVersion => CliError::Version(text),
        _ => CliError::Usage(text.trim_end().to_owned()),
    }
}

/// The arguments put together by the option they belong to.
#[derive(Default)]
struct CommandLine {
    file: Option<PathBuf>,
    stdin: bool,
    flags: Vec<&'static str>,
    options: Vec<Given>,
}

struct Given {
    name: String,
    spec: Option<&'static Spec>,
    args: Vec<Vec<u8>>,
}

impl CommandLine {
    fn read(args: impl Iterator<Item = OsString>) -> Result<Self, CliError> {
        let mut line = Self::default();
        for arg in args {
            let arg = arg.into_vec();
            if let Some(option) = line.options.last_mut()
                && option.takes(&arg)
            {
                option.args.push(arg);
            } else if let Some(flag) = flag(&arg) {
                line.flags.push(flag);
            } else if let Some(option) = arg.strip_prefix(b"--") {
                line.options.push(Given::read(option)?);
            } else if let Some(option) = line.options.last_mut() {
                // One too many, which the directive will say.
                option.args.push(arg);
            } else if arg == b"-" {
                line.stdin = true;
            } else if line.file.is_none() && !line.stdin {
                line.file = Some(PathBuf::from(OsString::from_vec(arg)));
            } else {
                // A directive right after the file needs no dashes.
                line.options.push(Given::read(&arg)?);
            }
        }
        Ok(line)
    }

    /// The same command line with one argument for each option.
    fn normalized(&self) -> Vec<OsString> {
        let mut args = vec![OsString::from("kvarts")];
        args.extend(self.flags.iter().map(OsString::from));
        for option in &self.options {
            let given: Vec<String> = option.args.iter().map(|arg| quote(arg)).collect();
            args.push(OsString::from(format!("--{}={}", option.name, given.join(" "))));
        }
        args
    }
}

impl Given {
    /// Reads an option without its dashes: `name`, `name=value`, or a name and values in one argument.
    fn read(text: &[u8]) -> Result<Self, CliError> {
        let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'=');
        let (name, rest) = text.split_at(end.unwrap_or(text.len()));
        if name.is_empty() {
            return Err(CliError::Usage("an option needs a name after --".to_owned()));
        }
        let args = match rest {
            [] => Vec::new(),
            [b'=', value @ ..] => vec![value.to_vec()],
            _ => split_arguments(rest).ok_or_else(|| {
                CliError::Usage(format!("--{}: unbalanced quotes", String::from_utf8_lossy(name)))
            })?,
        };
        let found = find(name);
        let name = match found {
            Some((spec, _)) => spec.name.to_owned(),
            None => String::from_utf8_lossy(name).into_owned(),
        };
        Ok(Self { name, spec: found.map(|(spec, _)| spec), args }.with_yes())
    }

    /// Whether the next argument is a value of this option rather than an option of its own.
    fn takes(&mut self, arg: &[u8]) -> bool {
        let is_option = arg.starts_with(b"--") || flag(arg).is_some();
        match self.spec {
            Some(spec) if !spec.multi => {
                let assumed = matches!(spec.kind, Kind::Bool) && self.args == [b"yes"];
                if assumed && !is_option && is_boolean(arg) {
                    self.args.clear();
                }
                self.args.is_empty()
            }
            _ => !is_option,
        }
    }

    /// A boolean without a value means yes.
    fn with_yes(mut self) -> Self {
        let is_bool = self.spec.is_some_and(|spec| matches!(spec.kind, Kind::Bool));
        if is_bool && self.args.is_empty() {
            self.args.push(b"yes".to_vec());
        }
        self
    }
}

fn is_boolean(arg: &[u8]) -> bool {
    arg.eq_ignore_ascii_case(b"yes") || arg.eq_ignore_ascii_case(b"no")
}

fn flag(arg: &[u8]) -> Option<&'static str> {
    match arg {
        b"-h" | b"--help" => Some("--help"),
        b"-v" | b"--version" => Some("--version"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Directive;
    use crate::config::tests::Folder;

    fn parse(args: &[&str]) -> Result<Config, CliError> {
        from_args(std::iter::once("kvarts").chain(args.iter().copied()).map(OsString::from))
    }

    fn shown(config: &Config, name: &str) -> String {
        let found = config.get(&[name]);
        String::from_utf8(found[0].1.clone()).expect("UTF-8")
    }

    fn assert_shown(args: &[&str], expected: &[(&str, &str)]) {
        let config = parse(args).unwrap_or_else(|error| panic!("{args:?}: {error}"));
        for (name, value) in expected {
            assert_eq!(shown(&config, name), *value, "{args:?} {name}");
        }
    }

    #[test]
    fn clap_finds_no_fault_with_the_options() {
        command().debug_assert();
    }

    #[test]
    fn an_option_takes_what_follows_up_to_the_next() {
        assert_shown(&["--port", "7000", "--save", ""], &[("port", "7000"), ("save", "")]);
        assert_shown(
            &["--bind", "127.0.0.1", "-::1", "--timeout", "5"],
            &[("bind", "127.0.0.1 -::1"), ("timeout", "5")],
        );
        assert_shown(
            &[
                "--client-output-buffer-limit",
                "normal",
                "1",
                "2",
                "3",
                "--client-output-buffer-limit",
                "pubsub 4 5 6",
            ],
            &[("client-output-buffer-limit", "normal 1 2 3 slave 268435456 67108864 60 pubsub 4 5 6")],
        );
        assert_shown(
            &["--shutdown-on-sigint", "nosave", "force", "now", "--shutdown-on-sigterm", "nosave force"],
            &[("shutdown-on-sigint", "nosave now force"), ("shutdown-on-sigterm", "nosave force")],
        );
        assert_shown(&["--save", "--loglevel", "verbose"], &[("save", ""), ("loglevel", "verbose")]);
        assert_shown(&["--save", "60", "1", "--save", "5 5"], &[("save", "60 1 5 5")]);
    }

    #[test]
    fn a_single_value_may_look_like_an_option() {
        assert_shown(
            &["--proc-title-template", "--save", "--save", "", "--loglevel", "verbose"],
            &[("proc-title-template", "--save"), ("save", ""), ("loglevel", "verbose")],
        );
        assert_shown(&["--list-max-listpack-size", "-2"], &[("list-max-listpack-size", "-2")]);
        assert_shown(&["--requirepass", ""], &[("requirepass", "")]);
        assert_shown(&["--requirepass", "a b\"c"], &[("requirepass", "a b\"c")]);
    }

    #[test]
    fn an_option_may_come_in_one_piece() {
        assert_shown(&["--maxmemory 700mb", "--port=7000"], &[("maxmemory", "734003200"), ("port", "7000")]);
        assert_shown(&["--maxmemory '700mb'"], &[("maxmemory", "734003200")]);
        assert_shown(
            &["--PORT", "7000", "--slave-priority", "5"],
            &[("port", "7000"), ("replica-priority", "5")],
        );
    }

    #[test]
    fn a_boolean_without_value_is_yes() {
        assert_shown(&["--tls-only", "--port", "1"], &[("tls-only", "yes"), ("port", "1")]);
        assert_shown(&["--tls-only", "no", "--port", "1"], &[("tls-only", "no"), ("port", "1")]);
        assert_shown(&["--tls-only"], &[("tls-only", "yes")]);
        assert!(matches!(parse(&["--tls-only", "maybe"]), Err(CliError::Config(_))));
    }

    #[test]
    fn options_win_over_the_file() {
        let folder = Folder::new();
        let path = folder.write("main.conf", "port 7000\nhz 20\nsave 900 1\n");
        let path = path.to_str().expect("UTF-8");
        assert_shown(&[path, "--port", "8000", "--port", "9000"], &[("port", "9000"), ("hz", "20")]);
        assert_shown(&[path, "loglevel", "verbose", "--hz", "5"], &[("loglevel", "verbose"), ("hz", "5")]);
        assert_shown(&[path, "--save", "100", "100"], &[("save", "900 1 100 100")]);
        assert_shown(&[path, "--save", ""], &[("save", "")]);
        assert_shown(&["--include", path], &[("port", "7000")]);
        let config = parse(&[path]).expect("valid");
        assert_eq!(config.file(), Some(Path::new(path).canonicalize().expect("there").as_path()));
    }

    #[test]
    fn mistakes_are_named() {
        let error = parse(&["--maxmemmory", "5"]).expect_err("unknown");
        assert!(
            error.to_string().contains("--maxmemmory") && error.to_string().contains("'--maxmemory'"),
            "{error}"
        );
        assert_eq!(error.exit_code(), 2);
        let error = parse(&["--port", "abc"]).expect_err("no number");
        assert_eq!(error.to_string(), "--port: argument couldn't be parsed into an integer");
        assert_eq!(error.exit_code(), 1);
        let error = parse(&["--port", "1", "2"]).expect_err("too many");
        assert_eq!(error.to_string(), "--port: wrong number of arguments");
        let error = parse(&["--port"]).expect_err("too few");
        assert_eq!(error.to_string(), "--port: wrong number of arguments");
    }

    #[test]
    fn help_lists_the_directives_and_version_is_told() {
        for args in [&["-h"] as &[&str], &["--help"], &["--port", "1", "--help"], &["--bind", "::1", "-h"]] {
            match parse(args) {
                Err(CliError::Help(text)) => assert!(text.contains("--read-only-port"), "{text}"),
                other => panic!("{args:?}: {other:?}"),
            }
        }
        assert!(
            matches!(parse(&["-v"]), Err(CliError::Version(text)) if text.contains(env!("CARGO_PKG_VERSION")))
        );
        assert_eq!(parse(&[]).expect("defaults").int(Directive::Port), 6379);
    }
}
