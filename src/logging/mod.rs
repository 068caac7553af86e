//! Log lines by tracing: one line an event, to the standard output or to `logfile`, and to syslog if wanted.
//! Nothing is logged per command, and never a password or a value.
//!
//! The log is the process's: the program starts it once, before its server. A server in another program logs
//! to whatever subscriber that program has.

mod format;
pub(crate) mod limit;
mod syslog;

pub use format::iso_8601;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, fmt, reload};

use crate::config::{Config, Directive};
use format::{Form, Lines};
use syslog::Syslog;

/// Changes the log's settings while the program runs.
#[derive(Clone, Debug)]
pub struct LogSwitch {
    level: reload::Handle<LevelFilter, Registry>,
    form: Arc<Form>,
}

impl LogSwitch {
    /// Reads `loglevel`, `log-format` and `log-timestamp-format` anew.
    pub fn load(&self, config: &Config) {
        // It fails only when the log is gone, and then there is nothing to set.
        let _ = self.level.reload(level_of(config.word(Directive::Loglevel)));
        self.form.load(config);
    }
}

/// Starts logging for the whole process by the configuration. Called once, by the program.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(config: &Config) -> io::Result<LogSwitch> {
    let (writer, colours) = match config.path(Directive::Logfile) {
        Some(path) => {
            let file = LogFile(path);
            file.open()?;
            (BoxMakeWriter::new(file), false)
        }
        None => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
    };
    let (subscriber, switch) = subscriber(config, writer, colours);
    // A second call would be a mistake of the program; the first one's settings stay.
    drop(tracing::subscriber::set_global_default(subscriber));
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug: {}", panic_text(panic));
    }));
    Ok(switch)
}

fn subscriber(
    config: &Config,
    writer: BoxMakeWriter,
    colours: bool,
) -> (impl Subscriber + Send + Sync, LogSwitch) {
    let (filter, level) = reload::Layer::new(level_of(config.word(Directive::Loglevel)));
    let form = Arc::new(Form::default());
    form.load(config);
    let lines = fmt::layer().with_writer(writer).with_ansi(colours).event_format(Lines(Arc::clone(&form)));
    let syslog = config.flag(Directive::SyslogEnabled).then(|| Syslog::connect(config)).flatten();
    (Registry::default().with(filter).with(lines).with(syslog), LogSwitch { level, form })
}

fn level_of(word: &str) -> LevelFilter {
    match word {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "warning" => LevelFilter::WARN,
        "nothing" => LevelFilter::OFF,
        _ => LevelFilter::INFO,
    }
}

/// The file of `logfile`, opened for each line. So it may be moved away to begin another, without a signal.
struct LogFile(PathBuf);

impl LogFile {
    fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.0)
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Box<dyn Write>;

    fn make_writer(&'a self) -> Self::Writer {
        match self.open() {
            Ok(file) => Box::new(file),
            // The disk is full, the folder gone: better there than nowhere.
            Err(_) => Box::new(io::stderr()),
        }
    }
}

/// A panic's own words. They are the program's texts, never a client's data: no panic in this program formats
/// any.
fn panic_text<'a>(panic: &'a std::panic::PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    /// What was logged, for a test to read.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(pairs: &[(&str, &str)], log: impl FnOnce(&LogSwitch)) -> String {
        let config = Config::from_pairs(pairs.iter().copied()).expect("a configuration");
        let lines = Written::default();
        let writer = lines.clone();
        let (subscriber, switch) = subscriber(&config, BoxMakeWriter::new(move || writer.clone()), false);
        tracing::subscriber::with_default(subscriber, || log(&switch));
        String::from_utf8(lines.0.lock().clone()).expect("text")
    }

    fn set(switch: &LogSwitch, name: &str, value: &str) {
        switch.load(&Config::from_pairs([(name, value)]).expect("a configuration"));
    }

    #[test]
    fn the_level_changes_at_run_time() {
        let text = logged(&[("loglevel", "warning")], |switch| {
            tracing::info!("one");
            tracing::warn!("two");
            set(switch, "loglevel", "verbose");
            tracing::debug!("three");
            tracing::trace!("four");
            set(switch, "loglevel", "nothing");
            tracing::error!("five");
            set(switch, "loglevel", "debug");
            tracing::trace!("six");
        });
        let words: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
        assert_eq!(words, ["two", "three", "six"]);
    }

    #[test]
    fn lines_of_text() {
        let text = logged(&[], |_| tracing::warn!(client = 3, "closing \"it\""));
        let pid = std::process::id();
        assert!(text.starts_with(&format!("{pid}:M ")), "{text}");
        assert!(text.ends_with(" # closing \"it\" client=3\n"), "{text}");
    }

    #[test]
    fn lines_of_logfmt_and_json() {
        let pairs = [("log-format", "logfmt"), ("log-timestamp-format", "milliseconds")];
        let text = logged(&pairs, |_| tracing::info!(client = 3, "closing \"it\""));
        assert!(
            text.starts_with(&format!("pid={} role=primary timestamp=\"1", std::process::id())),
            "{text}"
        );
        assert!(text.ends_with(" level=notice message=\"closing \\\"it\\\"\" client=3\n"), "{text}");
        let pairs = [("log-format", "json"), ("log-timestamp-format", "iso8601")];
        let text = logged(&pairs, |_| {
            tracing::info!(client = 3, ready = true, error = %"a\nb\u{1}\u{8}\u{c}", "closing \"it\"");
        });
        let pid = std::process::id();
        assert!(
            text.starts_with(&format!("{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"2")),
            "{text}"
        );
        let end = "Z\",\"level\":\"notice\",\"message\":\"closing \\\"it\\\"\",\"client\":3,\"ready\":true,\"error\":\"a\\nb\\u0001\\b\\f\"}\n";
        assert!(text.ends_with(end), "{text}");
        // The form changes at run time, too.
        let text = logged(&[], |switch| {
            set(switch, "log-format", "json");
            tracing::info!("one");
            set(switch, "log-format", "text");
            tracing::info!("two");
        });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with('{') && lines[1].ends_with(" * two"), "{text}");
    }

    #[test]
    fn the_file_may_be_moved_away() {
        let path = std::env::temp_dir().join(format!("kvarts-log-{}", std::process::id()));
        let moved = path.with_extension("1");
        let file = LogFile(path.clone());
        for (text, away) in [("first\n", true), ("second\n", false)] {
            file.make_writer().write_all(text.as_bytes()).expect("written");
            if away {
                std::fs::rename(&path, &moved).expect("moved");
            }
        }
        assert_eq!(std::fs::read_to_string(&moved).expect("a file"), "first\n");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "second\n");
        std::fs::remove_file(path).expect("removed");
        std::fs::remove_file(moved).expect("removed");
    }
}
