//! `kvarts --health-check`: asks a running server whether it is healthy, for the health checks of containers.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::beside::{Beside, Known, check_file, read_file};
use crate::net::tls::{AUTHORITY_FILE, OwnFiles, client_config_of_files};

const USAGE: &str =
    "usage: kvarts --health-check [FILE] [--host HOST] [--port PORT] [--user NAME] [--password-file FILE] [--tls]
       [--cacert FILE | --server-dir FOLDER] [--cert FILE --key FILE] [--ready] [--timeout SECONDS]

Asks the server at HOST (127.0.0.1) and PORT (6379) with KVARTS HEALTH whether all its parts answer. The exit
status is 0 where they do, also while a heavy command or a slow script runs; 1 where one does not, or the
server does not answer within SECONDS (3); 2 where the question is wrong. With --ready the server has to have
loaded its data as well, and as a replica to have its primary's.

FILE is the server's configuration: its port, requirepass, tls-only and dir are used as far as nothing else is said.
Without FILE, where process 1 is a server, as in a container, those of its command line and file are used. The
password is the first line of --password-file, or else what KVARTS_PASSWORD or REDISCLI_AUTH of the environment
says, or else requirepass. A server that says that a password is missing or wrong that nobody gave to this check,
that the user may not ask, or that maxclients are connected, has answered, which is enough unless --ready is given.

With --tls, the certificate has to be vouched for by --cacert, or by the server's own authority, tls/ca.crt in
--server-dir, in the dir of its configuration, or in this folder.";

/// Exit statuses.
const HEALTHY: u8 = 0;
const UNHEALTHY: u8 = 1;
const MISUSED: u8 = 2;

/// What is waited for beside the time that the question has for the server: for a name that nobody resolves.
const GRACE: Duration = Duration::from_secs(1);

/// What a client is told for whom there is no place.
const FULL: &str = "-ERR max number of clients reached";

/// Longest reply that is read, in bytes.
const REPLY_MAX: u64 = 1 << 20;

/// What the command line says.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// The server's configuration file.
    file: Option<PathBuf>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    tls: bool,
    authority_file: Option<PathBuf>,
    server_dir: Option<PathBuf>,
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
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        drop(writeln!(out, "{USAGE}"));
        return Some(HEALTHY);
    }
    let words: Option<Vec<&str>> = arguments.iter().map(|word| word.to_str()).collect();
    let (status, text) = match words.and_then(|words| Question::of(&words)) {
        None => (MISUSED, USAGE.to_owned()),
        Some(question) => question.answer(),
    };
    // Nobody may be there to read it.
    drop(writeln!(out, "{text}"));
    Some(status)
}

impl Question {
    /// Reads the command line; `None` where it is wrong.
    fn of(words: &[&str]) -> Option<Self> {
        let mut question = Self {
            file: None,
            host: None,
            port: None,
            user: None,
            password_file: None,
            tls: false,
            authority_file: None,
            server_dir: None,
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
                "--host" => question.host = Some((*words.next()?).to_owned()),
                "--port" => question.port = Some(words.next()?.parse().ok()?),
                "--user" => question.user = Some((*words.next()?).to_owned()),
                "--password-file" => question.password_file = Some(words.next()?.into()),
                "--cacert" => question.authority_file = Some(words.next()?.into()),
                "--server-dir" => question.server_dir = Some(words.next()?.into()),
                "--cert" => question.certificate = Some(words.next()?.into()),
                "--key" => question.key = Some(words.next()?.into()),
                "--timeout" => {
                    let seconds =
                        words.next()?.parse().ok().filter(|seconds| (1..=3600).contains(seconds))?;
                    question.timeout = Duration::from_secs(seconds);
                }
                file if !file.starts_with('-') && !file.is_empty() && question.file.is_none() => {
                    question.file = Some(file.into());
                }
                _ => return None,
            }
        }
        (question.certificate.is_some() == question.key.is_some()).then_some(question)
    }

    /// The exit status and what to print. Whatever does not answer, it ends: a file that is a pipe or lies on a disk
    /// that is gone, a host whose name nobody resolves.
    fn answer(self) -> (u8, String) {
        let question = Arc::new(self);
        let (asks, seconds) = (Arc::clone(&question), question.timeout.as_secs());
        let known = match within(question.timeout, move || asks.known()) {
            Some(Ok(known)) => known,
            Some(Err(error)) => return (MISUSED, error),
            None => {
                let error = "no file may be a pipe or a device, and their disk has to answer";
                return (MISUSED, format!("the files could not be read within {seconds} s: {error}"));
            }
        };
        let asks = Arc::clone(&question);
        let (host, port) = (question.host().to_owned(), question.port(&known.beside));
        within(question.timeout + GRACE, move || asks.put(&known)).unwrap_or_else(|| {
            (UNHEALTHY, format!("no answer from {host}:{port}: none came within {seconds} s (--timeout)"))
        })
    }

    /// What is to be known before the server is asked.
    fn known(&self) -> Result<Known, String> {
        for path in [&self.authority_file, &self.certificate, &self.key].into_iter().flatten() {
            check_file(path)?;
        }
        Ok(Known { given_password: self.password()?, beside: self.beside()? })
    }

    /// What the server's own configuration says: that of the file, or of process 1 where another host is not asked for.
    fn beside(&self) -> Result<Beside, String> {
        match &self.file {
            Some(file) => {
                check_file(file)?;
                Beside::of_file(file).map_err(|error| error.to_string())
            }
            None if self.host.is_none() => Ok(Beside::of_process_one().unwrap_or_default()),
            None => Ok(Beside::default()),
        }
    }

    /// Asks, and judges what comes: the exit status, and a line for whoever reads it.
    fn put(&self, known: &Known) -> (u8, String) {
        let (host, port) = (self.host(), self.port(&known.beside));
        match self.ask(known) {
            Ok(Heard { reply, is_late }) => verdict(
                &reply,
                &Wanted {
                    ready: self.ready,
                    is_late: is_late.then_some(self.timeout),
                    has_password: self.password_file.is_some() || known.given_password.is_some(),
                },
            ),
            Err(error) => (UNHEALTHY, format!("no answer from {host}:{port}: {}", self.in_words(&error))),
        }
    }

    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("127.0.0.1")
    }

    fn port(&self, beside: &Beside) -> u16 {
        self.port.or(beside.port).unwrap_or(6379)
    }

    /// Whether to speak TLS: where it is asked for, or the configuration lets nothing else be.
    fn speaks_tls(&self, beside: &Beside) -> bool {
        self.tls || beside.tls && self.port.is_none_or(|port| beside.port == Some(port))
    }

    fn in_words(&self, error: &io::Error) -> String {
        let seconds = self.timeout.as_secs();
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                format!(
                    "none came within {seconds} s (--timeout); the server is stopped or overloaded, or a firewall is between"
                )
            }
            _ => error.to_string(),
        }
    }

    /// Sends the request, and returns all that the server answers.
    fn ask(&self, known: &Known) -> io::Result<Heard> {
        let beside = &known.beside;
        let until = Instant::now() + self.timeout;
        let mut request = Vec::new();
        if let Some(password) = known.given_password.as_ref().or(beside.password.as_ref()) {
            let words: Vec<&[u8]> = std::iter::once(&b"AUTH"[..])
                .chain(self.user.as_ref().map(String::as_bytes))
                .chain([password.as_slice()])
                .collect();
            write_request(&mut request, &words);
        }
        write_request(&mut request, &[b"KVARTS", b"HEALTH"]);
        write_request(&mut request, &[b"QUIT"]);
        let port = self.port(beside);
        let stream = self.connect(port, until)?;
        if !self.speaks_tls(beside) {
            return exchange(&mut Timed::new(stream, until), &request);
        }
        let own = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                Some(OwnFiles { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        let authorities = match &self.authority_file {
            Some(path) => path.clone(),
            None => self.authority_of_server(beside, until)?,
        };
        let config = client_config_of_files(&authorities, own.as_ref()).map_err(io::Error::other)?;
        let name = ServerName::try_from(self.host().to_owned()).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(&config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, Timed::new(stream, until));
        let heard = exchange(&mut stream, &request);
        // A client for whom there is no place is told so before it has said that it speaks TLS.
        let first = &stream.sock.first;
        if first.starts_with(FULL.as_bytes()) {
            return Ok(Heard { reply: first.clone(), is_late: false });
        }
        heard
    }

    /// The certificate of the server's own authority, which it makes when the first TLS client comes.
    fn authority_of_server(&self, beside: &Beside, until: Instant) -> io::Result<PathBuf> {
        const LOOK: Duration = Duration::from_millis(20);
        /// The first byte of a TLS handshake.
        const HANDSHAKE: u8 = 0x16;
        let folder = self.server_dir.as_ref().or(beside.dir.as_ref()).cloned().unwrap_or_default();
        let path = folder.join("tls").join(AUTHORITY_FILE);
        if beside.has_own_certificate && self.server_dir.is_none() {
            let text =
                "the server has a certificate of its own (tls-cert-file): --cacert names what vouches for it";
            return Err(io::Error::other(text));
        }
        if !path.exists() {
            let mut first = self.connect(self.port(beside), until)?;
            first.write_all(&[HANDSHAKE])?;
            while !path.exists() {
                if left_until(until).is_err() {
                    let text = format!(
                        "there is no {} to trust: --server-dir names the server's dir, --cacert another authority",
                        path.display()
                    );
                    return Err(io::Error::other(text));
                }
                std::thread::sleep(LOOK);
            }
        }
        Ok(path)
    }

    fn connect(&self, port: u16, until: Instant) -> io::Result<TcpStream> {
        let mut failed = io::ErrorKind::AddrNotAvailable.into();
        for address in (self.host(), port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, left_until(until)?) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The password that somebody gave to this check.
    fn password(&self) -> Result<Option<Vec<u8>>, String> {
        let Some(path) = &self.password_file else {
            let of = |name| std::env::var(name).ok().filter(|password| !password.is_empty());
            return Ok(of("KVARTS_PASSWORD").or_else(|| of("REDISCLI_AUTH")).map(String::into_bytes));
        };
        let text = read_file(path)?;
        let line = text.split(|byte| b"\r\n".contains(byte)).next().unwrap_or_default();
        Ok((!line.is_empty()).then(|| line.to_vec()))
    }
}

/// What comes of some work, where it comes in time.
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    // Nobody may wait for it any more.
    let worker = std::thread::Builder::new().spawn(move || drop(sender.send(work())));
    worker.ok().and_then(|_| receiver.recv_timeout(limit).ok())
}

/// What the server answered.
struct Heard {
    reply: Vec<u8>,
    /// Whether the time was over before all of it had come.
    is_late: bool,
}

/// A socket whose reads and writes all end by one time.
struct Timed {
    stream: TcpStream,
    until: Instant,
    /// The first bytes that came, as they came.
    first: Vec<u8>,
}

impl Timed {
    fn new(stream: TcpStream, until: Instant) -> Self {
        Self { stream, until, first: Vec::new() }
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left_until(self.until)?))?;
        let count = self.stream.read(buffer)?;
        let missing = FULL.len().saturating_sub(self.first.len());
        self.first.extend_from_slice(&buffer[..count.min(missing)]);
        Ok(count)
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
fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<Heard> {
    // One that has no place for a client says so and closes, whatever it is asked.
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    let mut reply = Vec::new();
    match stream.take(REPLY_MAX).read_to_end(&mut reply) {
        // A server that closes as soon as it has answered may reset the connection.
        Err(error) if reply.is_empty() => Err(sent.err().unwrap_or(error)),
        Err(error) => {
            let is_late = matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
            Ok(Heard { reply, is_late })
        }
        Ok(_) => Ok(Heard { reply, is_late: false }),
    }
}

/// What a reply is judged by.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    /// The server has to be ready.
    ready: bool,
    /// The time that was over before all had come.
    is_late: Option<Duration>,
    /// Whether the password, if one was sent, was given to this check.
    has_password: bool,
}

/// The exit status that a reply stands for, and a line for whoever reads it.
fn verdict(reply: &[u8], wanted: &Wanted) -> (u8, String) {
    let text = String::from_utf8_lossy(reply);
    // What AUTH answers stands before.
    let rest = text.strip_prefix("+OK\r\n").unwrap_or(&text);
    let first = rest.lines().next().unwrap_or_default();
    // The server answers, and more is not known: enough to leave it alone, too little to send clients there.
    let answers = |why: String| {
        (
            if wanted.ready { UNHEALTHY } else { HEALTHY },
            format!("it answers, but does not say how it is: {why}"),
        )
    };
    if first.starts_with("-NOAUTH") {
        let help = "give the check the password (--password-file, KVARTS_PASSWORD) or the server's configuration file";
        return answers(format!("{}; {help}", first[1..].trim_end_matches('.')));
    }
    if first.starts_with("-NOPERM") || first.starts_with("-WRONGPASS") && !wanted.has_password {
        return answers(first[1..].to_owned());
    }
    if first.starts_with(FULL) {
        return answers("maxclients are connected, so it lets nobody else in, this check neither".to_owned());
    }
    if let Some(limit) = wanted.is_late {
        return (
            UNHEALTHY,
            format!("it was connected, but did not say how it is within {} s (--timeout)", limit.as_secs()),
        );
    }
    let (Some(status), Some(ready)) = (value_of(rest, "status"), value_of(rest, "ready")) else {
        return (UNHEALTHY, format!("not an answer about health: {first}"));
    };
    let is_healthy = matches!(status, "ok" | "busy") && (ready == "yes" || !wanted.ready);
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
        let exit_status = |reply: &[u8], ready| verdict(reply, &Wanted { ready, ..Wanted::default() }).0;
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
            ("-ERR max number of clients reached\r\n", [HEALTHY, UNHEALTHY]),
            // The password was that of the configuration, which may have been changed since.
            ("-WRONGPASS invalid username-password pair\r\n-NOAUTH x\r\n", [HEALTHY, UNHEALTHY]),
            ("-ERR unknown command 'KVARTS'\r\n", [UNHEALTHY; 2]),
            ("", [UNHEALTHY; 2]),
            ("$6\r\nstatus", [UNHEALTHY; 2]),
        ] {
            let found = [false, true].map(|wants_ready| exit_status(reply.as_bytes(), wants_ready));
            assert_eq!(found, expected, "{reply:?}");
        }
        let given = Wanted { has_password: true, ..Wanted::default() };
        assert_eq!(verdict(b"-WRONGPASS x\r\n-NOAUTH x\r\n", &given).0, UNHEALTHY);
        let late = Wanted { is_late: Some(Duration::from_secs(2)), ..Wanted::default() };
        assert_eq!(
            verdict(b"+OK\r\n", &late),
            (UNHEALTHY, "it was connected, but did not say how it is within 2 s (--timeout)".to_owned())
        );
    }

    #[test]
    fn command_lines() {
        let of = |line: &str| Question::of(&line.split(' ').collect::<Vec<_>>());
        let question = of("--health-check --port 7000 --host ::1 --tls --ready --timeout 9").expect("right");
        assert_eq!((question.port, question.host()), (Some(7000), "::1"));
        assert!(question.tls && question.ready);
        let question = of("--health-check a.conf --server-dir /data").expect("right");
        assert_eq!((question.file, question.server_dir), (Some("a.conf".into()), Some("/data".into())));
        for wrong in ["--port", "--port x", "--port 65536", "--cert a", "--timeout 0", "--unknown", "x y"] {
            assert_eq!(of(&format!("--health-check {wrong}")), None, "{wrong}");
        }
        assert_eq!(run(&["--port".into(), "7000".into()], &mut Vec::new()), None, "a server is asked for");
    }
}
