//! `kvarts --health-check`: asks a running server whether it is healthy, for the health checks of containers.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::net::tls::{AUTHORITY_FILE, OwnFiles, client_config_of_files};

const USAGE: &str =
    "usage: kvarts --health-check [--host HOST] [--port PORT] [--user NAME] [--password-file FILE]
       [--tls] [--cacert FILE] [--cert FILE --key FILE] [--ready] [--timeout SECONDS]

Asks the server at HOST (127.0.0.1) and PORT (6379) with KVARTS HEALTH whether all its parts answer. The exit
status is 0 where they do, also while a heavy command or a slow script runs; 1 where one does not, or the
server does not answer within SECONDS (3); 2 where the question is wrong. With --ready the server has to have
loaded its data as well, and as a replica to have its primary's. The password is the first line of FILE, or
else what KVARTS_PASSWORD or REDISCLI_AUTH of the environment says. A server that only says that a password is
missing, or that the user may not ask, has answered, which is enough unless --ready is given. With --tls, the
certificate has to be vouched for by --cacert, or by the server's own authority, tls/ca.crt in this folder.";

/// Exit statuses.
const HEALTHY: u8 = 0;
const UNHEALTHY: u8 = 1;
const MISUSED: u8 = 2;

/// Longest reply that is read, in bytes.
const REPLY_MAX: u64 = 1 << 20;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    host: String,
    port: u16,
    user: Option<String>,
    password_file: Option<PathBuf>,
    tls: bool,
    authority_file: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ready: bool,
    timeout: Duration,
}

/// Does what the program's arguments (without its name) ask for, and returns its exit status. `None` where
/// they ask for something else.
pub fn run(arguments: &[OsString], out: &mut dyn Write) -> Option<u8> {
    if !arguments.iter().any(|word| word == "--health-check") {
        return None;
    }
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    let (status, text) = match words.and_then(|words| Question::of(&words)) {
        None => (MISUSED, USAGE.to_owned()),
        Some(question) => match question.ask() {
            Ok(reply) => verdict(&reply, question.ready),
            Err(error) => (UNHEALTHY, format!("no answer from {}:{}: {error}", question.host, question.port)),
        },
    };
    // Nobody may be there to read it.
    drop(writeln!(out, "{text}"));
    Some(status)
}

impl Question {
    /// Reads the command line; `None` where it is wrong.
    fn of(words: &[&str]) -> Option<Self> {
        let mut question = Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            user: None,
            password_file: None,
            tls: false,
            authority_file: None,
            certificate: None,
            key: None,
            ready: false,
            timeout: Duration::from_secs(3),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--health-check" => {}
                "--tls" => question.tls = true,
                "--ready" => question.ready = true,
                "--host" => question.host = (*words.next()?).to_owned(),
                "--port" => question.port = words.next()?.parse().ok()?,
                "--user" => question.user = Some((*words.next()?).to_owned()),
                "--password-file" => question.password_file = Some(words.next()?.into()),
                "--cacert" => question.authority_file = Some(words.next()?.into()),
                "--cert" => question.certificate = Some(words.next()?.into()),
                "--key" => question.key = Some(words.next()?.into()),
                "--timeout" => {
                    let seconds =
                        words.next()?.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
                    question.timeout = Duration::from_secs(seconds);
                }
                _ => return None,
            }
        }
        (question.certificate.is_some() == question.key.is_some()).then_some(question)
    }

    /// Sends the request, and returns all that the server answers.
    fn ask(&self) -> io::Result<Vec<u8>> {
        let until = Instant::now() + self.timeout;
        let mut request = Vec::new();
        if let Some(password) = self.password()? {
            let words: Vec<&[u8]> = std::iter::once(&b"AUTH"[..])
                .chain(self.user.as_ref().map(String::as_bytes))
                .chain([password.as_slice()])
                .collect();
            write_request(&mut request, &words);
        }
        write_request(&mut request, &[b"KVARTS", b"HEALTH"]);
        write_request(&mut request, &[b"QUIT"]);
        let stream = self.connect(until)?;
        if !self.tls {
            return exchange(Timed { stream, until }, &request);
        }
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(OwnFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let authorities = match &self.authority_file {
            Some(path) => path.clone(),
            None => self.authority_of_server(until)?,
        };
        let config = client_config_of_files(&authorities, own.as_ref()).map_err(io::Error::other)?;
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
        exchange(StreamOwned::new(connection, Timed { stream, until }), &request)
    }

    /// The certificate of the server's own authority, which it makes when the first TLS client comes.
    fn authority_of_server(&self, until: Instant) -> io::Result<PathBuf> {
        const LOOK: Duration = Duration::from_millis(20);
        /// The first byte of a TLS handshake.
        const HANDSHAKE: u8 = 0x16;
        let path = PathBuf::from("tls").join(AUTHORITY_FILE);
        if !path.exists() {
            let mut first = self.connect(until)?;
            first.write_all(&[HANDSHAKE])?;
            while !path.exists() {
                if left_until(until).is_err() {
                    return Err(io::Error::other(format!("there is no {}", path.display())));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(path)
    }

    fn connect(&self, until: Instant) -> io::Result<TcpStream> {
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left_until(until)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn password(&self) -> io::Result<Option<Vec<u8>>> {
        let Some(path) = &self.password_file else {
            let of = |name| std::env::var(name).ok().filter(|password| !password.is_empty());
            return Ok(of("KVARTS_PASSWORD").or_else(|| of("REDISCLI_AUTH")).map(String::into_bytes));
        };
        let text = std::fs::read(path)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let line = text.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
        Ok((!line.is_empty()).then(|| line.to_vec()))
    }
}

/// A socket whose reads and writes all end by one time.
struct Timed {
    stream: TcpStream,
    until: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left_until(self.until)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left_until(self.until)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The time left; an error where none is, as sockets take no limit of 0.
fn left_until(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn write_request(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        out.extend(format!("${}\r\n", word.len()).bytes());
        out.extend_from_slice(word);
        out.extend(b"\r\n");
    }
}

/// Sends the request and reads to the end: the last command of the request has the server close.
fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut reply = Vec::new();
    match stream.take(REPLY_MAX).read_to_end(&mut reply) {
        // A server that closes as soon as it has answered may reset the connection.
        Err(error) if reply.is_empty() => Err(error),
        _ => Ok(reply),
    }
}

/// The exit status that a reply stands for, and a line for whoever reads it.
fn verdict(reply: &[u8], wants_ready: bool) -> (u8, String) {
    let text = String::from_utf8_lossy(reply);
    // What AUTH answers stands before.
    let rest = text.strip_prefix("+OK\r\n").unwrap_or(&text);
    let first = rest.lines().next().unwrap_or_default();
    if first.starts_with("-NOAUTH") || first.starts_with("-NOPERM") {
        let status = if wants_ready { UNHEALTHY } else { HEALTHY };
        return (status, format!("it answers, but does not say how it is: {}", &first[1..]));
    }
    let (Some(status), Some(ready)) = (value_of(rest, "status"), value_of(rest, "ready")) else {
        return (UNHEALTHY, format!("not an answer about health: {first}"));
    };
    let is_healthy = matches!(status, "ok" | "busy") && (ready == "yes" || !wants_ready);
    let slowest = value_of(rest, "slowest").unwrap_or_default();
    let exit_status = if is_healthy { HEALTHY } else { UNHEALTHY };
    (exit_status, format!("status {status}, ready {ready}, slowest {slowest}"))
}

/// The text behind a key of a map in RESP2.
fn value_of<'t>(reply: &'t str, key: &str) -> Option<&'t str> {
    let mut lines = reply.lines();
    lines.find(|line| *line == key)?;
    lines.nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_and_what_follows_from_it() {
        let reply = |status: &str, ready: &str| {
            let text = format!(
                "*12\r\n$6\r\nstatus\r\n${}\r\n{status}\r\n$5\r\nready\r\n${}\r\n{ready}\r\n",
                status.len(),
                ready.len()
            );
            text.into_bytes()
        };
        let exit_status = |reply: &[u8], wants_ready| verdict(reply, wants_ready).0;
        for (status, ready, expected) in [
            ("ok", "yes", [HEALTHY; 2]),
            ("busy", "yes", [HEALTHY; 2]),
            ("ok", "no", [HEALTHY, UNHEALTHY]),
            ("starting", "yes", [UNHEALTHY; 2]),
            ("stuck", "yes", [UNHEALTHY; 2]),
        ] {
            let reply = reply(status, ready);
            let found = [false, true].map(|wants_ready| exit_status(&reply, wants_ready));
            assert_eq!(found, expected, "{status} {ready}");
            let found = exit_status(&[b"+OK\r\n", reply.as_slice()].concat(), false);
            assert_eq!(found, expected[0], "{status} {ready} behind AUTH");
        }
        for (reply, expected) in [
            ("-NOAUTH Authentication required.\r\n", [HEALTHY, UNHEALTHY]),
            ("-NOPERM User x has no permissions\r\n", [HEALTHY, UNHEALTHY]),
            ("-WRONGPASS invalid username-password pair\r\n-NOAUTH x\r\n", [UNHEALTHY; 2]),
            ("-ERR unknown command 'KVARTS'\r\n", [UNHEALTHY; 2]),
            ("", [UNHEALTHY; 2]),
            ("$6\r\nstatus", [UNHEALTHY; 2]),
        ] {
            let found = [false, true].map(|wants_ready| exit_status(reply.as_bytes(), wants_ready));
            assert_eq!(found, expected, "{reply:?}");
        }
    }

    #[test]
    fn command_lines() {
        let of = |line: &str| Question::of(&line.split(' ').collect::<Vec<_>>());
        let question = of("--health-check --port 7000 --host ::1 --tls --ready --timeout 9").expect("right");
        assert_eq!((question.port, question.host.as_str()), (7000, "::1"));
        assert!(question.tls && question.ready);
        for wrong in ["--port", "--port x", "--port 65536", "--cert a", "--timeout 0", "--unknown", "x"] {
            assert_eq!(of(&format!("--health-check {wrong}")), None, "{wrong}");
        }
        assert_eq!(run(&["--port".into(), "7000".into()], &mut Vec::new()), None, "a server is asked for");
    }
}
