//! Log lines by tracing: one line an event, to the standard output or to `logfile`. Nothing is logged per command, and never a
//! password or a value.

use std::fs::OpenOptions;
use std::io;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{Config, Directive};

/// Starts logging for the whole process by the configuration's `loglevel` and `logfile`. Called once, by the program.
///
/// # Errors
/// When the file cannot be opened.
pub fn start(config: &Config) -> io::Result<()> {
    let level = match config.word(Directive::Loglevel) {
        "debug" => LevelFilter::TRACE,
        "verbose" => LevelFilter::DEBUG,
        "warning" => LevelFilter::WARN,
        "nothing" => LevelFilter::OFF,
        _ => LevelFilter::INFO,
    };
    let writer = match config.path(Directive::Logfile) {
        Some(path) => {
            BoxMakeWriter::new(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?))
        }
        None => BoxMakeWriter::new(io::stdout),
    };
    let is_file = config.path(Directive::Logfile).is_some();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer)
        .with_ansi(!is_file && io::IsTerminal::is_terminal(&io::stdout()))
        .with_target(false)
        .finish();
    // A second call would be a mistake of the program; the first one's settings stay.
    drop(tracing::subscriber::set_global_default(subscriber));
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a bug: {}", panic_text(panic));
    }));
    Ok(())
}

/// A panic's own words. They are the program's texts, never a client's data: no panic in this program formats any.
fn panic_text<'a>(panic: &'a std::panic::PanicHookInfo<'_>) -> &'a str {
    let payload = panic.payload();
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic")
}
