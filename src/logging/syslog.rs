//! Syslog, beside the other log: a datagram for each event to the machine's own socket.

use std::fmt::Write;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::format::Words;
use crate::config::{Config, Directive};

const SOCKET: &str = "/dev/log";

/// `user` and `local0` in the protocol.
const USER: u32 = 1;
const LOCAL0: u32 = 16;

/// The connection to syslog.
pub(super) struct Syslog {
    socket: UnixDatagram,
    ident: String,
    facility: u32,
}

impl Syslog {
    /// Connects by `syslog-ident` and `syslog-facility`; `None`, with a word to who starts the program, where
    /// there is no syslog.
    pub(super) fn connect(config: &Config) -> Option<Self> {
        let ident = config.text(Directive::SyslogIdent).to_string();
        let facility = facility_of(config.word(Directive::SyslogFacility));
        Self::open(Path::new(SOCKET), ident, facility)
            .inspect_err(|error| eprintln!("no syslog at {SOCKET}, going on without it: {error}"))
            .ok()
    }

    fn open(path: &Path, ident: String, facility: u32) -> std::io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        // A syslog that does not keep up loses lines rather than stopping the server.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, ident, facility })
    }
}

fn facility_of(word: &str) -> u32 {
    match word.strip_prefix("local").and_then(|number| number.parse::<u32>().ok()) {
        Some(number @ 0..=7) => LOCAL0 + number,
        _ => USER,
    }
}

impl<S: Subscriber> Layer<S> for Syslog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        let severity = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 5,
            Level::DEBUG => 6,
            Level::TRACE => 7,
        };
        let mut line = String::new();
        let priority = self.facility * 8 + severity;
        // Writing to a string cannot fail, and a log that cannot be written has nobody to tell.
        let _ = write!(
            line,
            "<{priority}>{}[{}]: {}{}",
            self.ident,
            std::process::id(),
            words.message,
            words.fields
        );
        let _ = self.socket.send(line.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn an_event_is_a_datagram() {
        let path = std::env::temp_dir().join(format!("kvarts-syslog-{}", std::process::id()));
        let syslog = UnixDatagram::bind(&path).expect("a socket");
        let layer = Syslog::open(&path, "me".to_owned(), facility_of("local3")).expect("connected");
        let subscriber = tracing_subscriber::Registry::default().with(layer);
        tracing::subscriber::with_default(subscriber, || tracing::warn!(client = 3, "closing it"));
        let mut buffer = [0; 256];
        let length = syslog.recv(&mut buffer).expect("a datagram");
        let expected = format!("<{}>me[{}]: closing it client=3", 19 * 8 + 4, std::process::id());
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn facilities() {
        assert_eq!((facility_of("user"), facility_of("local0"), facility_of("local7")), (1, 16, 23));
    }
}
