//! The form of a log line: the text that operators of Redis know, logfmt, or JSON.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, Directive};

/// `log-timestamp-format`; always UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timestamp {
    /// `24 Nov 2026 11:22:33.444`.
    Legacy,
    /// `2026-11-24T11:22:33.444Z`.
    Iso8601,
    /// Milliseconds of Unix time.
    Milliseconds,
}

impl Timestamp {
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "iso8601" => Timestamp::Iso8601,
            "milliseconds" => Timestamp::Milliseconds,
            _ => Timestamp::Legacy,
        }
    }

    fn write(self, out: &mut dyn Write, unix_ms: u64) -> fmt::Result {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        let (year, month, day) = date(seconds / 86_400);
        match self {
            Timestamp::Milliseconds => write!(out, "{unix_ms}"),
            Timestamp::Iso8601 => {
                write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
            }
            Timestamp::Legacy => {
                let month = MONTHS[month as usize - 1];
                write!(out, "{day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02}.{ms:03}")
            }
        }
    }
}

/// A time in milliseconds of Unix time as ISO 8601 has it, in UTC: `2026-01-31T12:00:00.000Z`.
pub fn iso_8601(unix_ms: u64) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = Timestamp::Iso8601.write(&mut text, unix_ms);
    text
}

/// Year, month and day of a day since 1970.
fn date(mut days: u64) -> (u64, u64, u64) {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// `log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Logfmt,
    Json,
}

/// The form of lines, which may change while they are written.
#[derive(Debug, Default)]
pub(super) struct Form {
    format: AtomicU8,
    timestamp: AtomicU8,
}

impl Form {
    pub(super) fn load(&self, config: &Config) {
        let format = match config.word(Directive::LogFormat) {
            "json" => Format::Json,
            "logfmt" => Format::Logfmt,
            _ => Format::Text,
        };
        let timestamp = Timestamp::of_word(config.word(Directive::LogTimestampFormat));
        self.format.store(format as u8, Ordering::Relaxed);
        self.timestamp.store(timestamp as u8, Ordering::Relaxed);
    }

    fn format(&self) -> Format {
        let is = |format: Format| self.format.load(Ordering::Relaxed) == format as u8;
        [Format::Json, Format::Logfmt].into_iter().find(|format| is(*format)).unwrap_or(Format::Text)
    }

    fn timestamp(&self) -> String {
        let is = |timestamp: Timestamp| self.timestamp.load(Ordering::Relaxed) == timestamp as u8;
        let others = [Timestamp::Iso8601, Timestamp::Milliseconds];
        let timestamp = others.into_iter().find(|timestamp| is(*timestamp)).unwrap_or(Timestamp::Legacy);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = timestamp.write(&mut text, since.map_or(0, |since| since.as_millis() as u64));
        text
    }
}

/// Writes events as lines of this form.
pub(super) struct Lines(pub(super) Arc<Form>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let format = self.0.format();
        let mut words = Words { json: format == Format::Json, ..Words::default() };
        event.record(&mut words);
        let Words { message, fields, .. } = words;
        let (mark, level) = match *event.metadata().level() {
            Level::TRACE => ('.', "debug"),
            Level::DEBUG => ('-', "verbose"),
            Level::INFO => ('*', "notice"),
            _ => ('#', "warning"),
        };
        let (pid, time) = (std::process::id(), self.0.timestamp());
        match format {
            Format::Json => {
                let message = json(&message);
                writeln!(
                    out,
                    "{{\"pid\":{pid},\"role\":\"primary\",\"timestamp\":\"{time}\",\"level\":\"{level}\",\"message\":{message}{fields}}}"
                )
            }
            Format::Logfmt => writeln!(
                out,
                "pid={pid} role=primary timestamp=\"{time}\" level={level} message={message:?}{fields}"
            ),
            Format::Text => {
                // An event is one line, whatever it tells of.
                let message = message.replace(['\r', '\n'], " ");
                writeln!(out, "{pid}:M {time} {mark} {message}{fields}")
            }
        }
    }
}

/// A text as JSON writes it.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            letter if letter.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// An event's message and its other fields, each behind a space as `name=value` or behind a comma as JSON.
#[derive(Default)]
pub(super) struct Words {
    pub(super) message: String,
    pub(super) fields: String,
    json: bool,
}

impl Words {
    fn add(&mut self, name: &str, text: &str, is_number: bool) {
        // Writing to a string cannot fail.
        let _ = if name == "message" {
            write!(self.message, "{text}")
        } else if self.json && is_number {
            write!(self.fields, ",\"{name}\":{text}")
        } else if self.json {
            write!(self.fields, ",\"{name}\":{}", json(text))
        } else if text.contains([' ', '"', '\n', '\r']) {
            write!(self.fields, " {name}={text:?}")
        } else {
            write!(self.fields, " {name}={text}")
        };
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value, false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), &value.to_string(), true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), &value.to_string(), true);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), &value.to_string(), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps() {
        let show = |timestamp: Timestamp, unix_ms| {
            let mut text = String::new();
            timestamp.write(&mut text, unix_ms).expect("written");
            text
        };
        assert_eq!(show(Timestamp::Milliseconds, 1_700_000_000_123), "1700000000123");
        for (unix_ms, iso, legacy) in [
            (0, "1970-01-01T00:00:00.000Z", "01 Jan 1970 00:00:00.000"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z", "29 Feb 2000 00:00:00.000"),
            (1_700_000_000_123, "2023-11-14T22:13:20.123Z", "14 Nov 2023 22:13:20.123"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z", "31 Dec 2024 23:59:59.999"),
        ] {
            assert_eq!(show(Timestamp::Iso8601, unix_ms), iso);
            assert_eq!(show(Timestamp::Legacy, unix_ms), legacy);
        }
    }
}
