//! [`Handshake`]: what a replica says to its primary before the stream begins, and what it is answered.

use thiserror::Error;

/// Digits of a replication id.
const ID_LEN: usize = 40;

/// Bytes of the mark that ends a copy of unknown length.
pub const MARK_LEN: usize = 40;

/// Longest line that a primary may answer with, in bytes.
pub const LINE_MAX: usize = 4096;

/// End of the offsets that a copy may begin at. The peers count in signed numbers of 64 bits; no stream comes near
/// the half of their range, and from there on the other half is left to count in.
const OFFSET_END: u64 = 1 << 62;

/// What a replica tells of itself, and what it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Whom it logs in as (`primaryuser`); the default user where there is only a password.
    pub user: Option<String>,
    /// With what (`primaryauth`).
    pub password: Option<String>,
    /// Where its clients find it.
    pub port: u16,
    /// Where its clients find it, if not where its connection comes from.
    pub ip: Option<String>,
    /// The version of Valkey whose snapshots it reads.
    pub version: String,
    /// Id of the history that it has data of, and its offset there.
    pub has: Option<(String, u64)>,
    /// Whether the other is to take over: a replica of this server is followed now.
    pub hands_over: bool,
}

/// What is to be done after a line of the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this, then read on.
    Send(Vec<u8>),
    /// Read on.
    Read,
    /// The stream follows, from the next byte of what the replica has. The history may have a new id.
    Continue(Option<String>),
    /// A copy of all data follows, in this form.
    Copy(CopyForm),
}

/// How a copy of all data comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyForm {
    /// Id of the history that it is of.
    pub id: String,
    /// Offset in it of the copy.
    pub offset: u64,
    /// Where it ends.
    pub end: CopyEnd,
}

impl CopyForm {
    /// Its length in bytes, where that is known.
    pub fn bytes(&self) -> Option<u64> {
        if let CopyEnd::After(len) = self.end { Some(len) } else { None }
    }
}

/// Where a copy ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyEnd {
    /// After so many bytes.
    After(u64),
    /// Before these bytes.
    Mark([u8; MARK_LEN]),
}

/// Why a replica cannot follow for now.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// The primary does not know its password or its user.
    #[error("Unable to AUTH to PRIMARY: {0}")]
    Auth(String),
    /// The primary has no data itself yet.
    #[error("PRIMARY is currently unable to PSYNC but should be in the future: {0}")]
    Later(String),
    /// The primary answers with an error.
    #[error("PRIMARY answered {0}")]
    Error(String),
    /// It answers what no primary does.
    #[error("unexpected answer from PRIMARY: {0}")]
    Unexpected(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Ping,
    Auth,
    /// So many answers to REPLCONF are missing.
    Replconf(u8),
    Psync,
    /// The line that begins a copy is missing.
    Copy,
}

/// A replica's side of the handshake. Lines come in, words go out; the sockets are the caller's.
#[derive(Debug)]
pub struct Handshake {
    introduction: Introduction,
    stage: Stage,
    copy: Option<(String, u64)>,
}

impl Handshake {
    /// Begins, and returns what is to be sent first.
    pub fn begin(introduction: Introduction) -> (Self, Vec<u8>) {
        (Self { introduction, stage: Stage::Ping, copy: None }, request(&["PING"]))
    }

    /// Whether the primary was asked for its stream.
    pub fn has_asked(&self) -> bool {
        matches!(self.stage, Stage::Psync | Stage::Copy)
    }

    /// Takes a line of the primary, without its end.
    ///
    /// # Errors
    /// The link is to be closed, and tried again later.
    pub fn line(&mut self, line: &[u8]) -> Result<Next, Refusal> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // A sign of life while the primary prepares a copy.
        if line.is_empty() {
            return Ok(Next::Read);
        }
        let text = || String::from_utf8_lossy(line).into_owned();
        let error = line.strip_prefix(b"-");
        match self.stage {
            Stage::Ping => match error {
                Some(error) if !needs_login(error) => Err(Refusal::Error(text())),
                _ => Ok(Next::Send(self.log_in())),
            },
            Stage::Auth if error.is_some() => Err(Refusal::Auth(text())),
            Stage::Auth => Ok(Next::Send(self.introduce())),
            // A primary that does not know an option says so, and goes on.
            Stage::Replconf(left) if left > 1 => {
                self.stage = Stage::Replconf(left - 1);
                Ok(Next::Read)
            }
            Stage::Replconf(_) => Ok(Next::Send(self.ask())),
            Stage::Psync => self.answer(line),
            Stage::Copy => self.copy_begins(line),
        }
    }

    fn log_in(&mut self) -> Vec<u8> {
        self.stage = Stage::Auth;
        match (&self.introduction.user, &self.introduction.password) {
            (Some(user), Some(password)) => request(&["AUTH", user, password]),
            (None, Some(password)) => request(&["AUTH", password]),
            (_, None) => self.introduce(),
        }
    }

    fn introduce(&mut self) -> Vec<u8> {
        let Introduction { port, ip, version, .. } = &self.introduction;
        let port = port.to_string();
        let mut options = vec![vec!["listening-port", &*port]];
        options.extend(ip.as_deref().map(|ip| vec!["ip-address", ip]));
        options.push(vec!["capa", "eof", "capa", "psync2"]);
        options.push(vec!["version", version]);
        self.stage = Stage::Replconf(options.len() as u8);
        options.iter().flat_map(|words| request(&[&["REPLCONF"], &words[..]].concat())).collect()
    }

    fn ask(&mut self) -> Vec<u8> {
        self.stage = Stage::Psync;
        match &self.introduction.has {
            Some((id, offset)) if self.introduction.hands_over => {
                request(&["PSYNC", id, &(offset + 1).to_string(), "FAILOVER"])
            }
            Some((id, offset)) => request(&["PSYNC", id, &(offset + 1).to_string()]),
            None => request(&["PSYNC", "?", "-1"]),
        }
    }

    /// The answer to PSYNC.
    fn answer(&mut self, line: &[u8]) -> Result<Next, Refusal> {
        let text = String::from_utf8_lossy(line).into_owned();
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("+CONTINUE") if self.introduction.has.is_some() => match words.next() {
                None => Ok(Next::Continue(None)),
                Some(id) if is_id(id) => Ok(Next::Continue(Some(id.to_owned()))),
                Some(_) => Err(Refusal::Unexpected(text)),
            },
            Some("+FULLRESYNC") => {
                let id = words.next().filter(|id| is_id(id)).map(str::to_owned);
                let offset = words.next().and_then(|offset| offset.parse::<u64>().ok());
                let offset = offset.filter(|offset| *offset < OFFSET_END);
                let (Some(id), Some(offset)) = (id, offset) else { return Err(Refusal::Unexpected(text)) };
                (self.copy, self.stage) = (Some((id, offset)), Stage::Copy);
                Ok(Next::Read)
            }
            Some("-NOMASTERLINK" | "-LOADING") => Err(Refusal::Later(text)),
            Some(word) if word.starts_with('-') => Err(Refusal::Error(text)),
            _ => Err(Refusal::Unexpected(text)),
        }
    }

    /// The line that stands before a copy.
    fn copy_begins(&mut self, line: &[u8]) -> Result<Next, Refusal> {
        let unexpected = || Refusal::Unexpected(String::from_utf8_lossy(line).into_owned());
        if line[0] == b'-' {
            return Err(Refusal::Error(String::from_utf8_lossy(line).into_owned()));
        }
        let form = line.strip_prefix(b"$").ok_or_else(unexpected)?;
        let end = match form.strip_prefix(b"EOF:") {
            Some(mark) => CopyEnd::Mark(mark.try_into().map_err(|_| unexpected())?),
            None => {
                let len = std::str::from_utf8(form).ok().and_then(|len| len.parse().ok());
                CopyEnd::After(len.ok_or_else(unexpected)?)
            }
        };
        let (id, offset) = self.copy.take().ok_or_else(unexpected)?;
        Ok(Next::Copy(CopyForm { id, offset, end }))
    }
}

/// Whether an error says that the replica has to log in first.
fn needs_login(error: &[u8]) -> bool {
    [&b"NOAUTH"[..], b"NOPERM", b"ERR operation not permitted"].iter().any(|begin| error.starts_with(begin))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_LEN && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

/// The bytes of a request.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Finds the end of a copy in bytes that come in pieces.
#[derive(Debug)]
pub struct CopyReader {
    end: CopyEnd,
    /// Bytes of the copy that are still missing, where that is known.
    left: u64,
    /// The last bytes seen, which may be the mark.
    tail: Vec<u8>,
}

impl CopyReader {
    /// A reader of a copy that has not begun.
    pub fn new(end: CopyEnd) -> Self {
        let left = if let CopyEnd::After(len) = end { len } else { u64::MAX };
        Self { end, left, tail: Vec::new() }
    }

    /// Takes bytes from the front of `input` as far as they are of the copy. Returns those to be loaded, and
    /// whether the copy ends with them.
    ///
    /// A mark ends the copy where it stands at the end of what has come: a primary sends nothing behind it
    /// before the replica has acknowledged the copy.
    pub fn take(&mut self, input: &mut Vec<u8>) -> (Vec<u8>, bool) {
        match self.end {
            CopyEnd::After(_) => {
                let count = (input.len() as u64).min(self.left) as usize;
                let rest = input.split_off(count);
                self.left -= count as u64;
                (std::mem::replace(input, rest), self.left == 0)
            }
            CopyEnd::Mark(mark) => {
                self.tail.append(input);
                if self.tail.ends_with(&mark) {
                    self.tail.truncate(self.tail.len() - MARK_LEN);
                    return (std::mem::take(&mut self.tail), true);
                }
                let kept = self.tail.split_off(self.tail.len().saturating_sub(MARK_LEN));
                (std::mem::replace(&mut self.tail, kept), false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn introduction() -> Introduction {
        Introduction { port: 6380, version: "9.1.2".into(), ..Introduction::default() }
    }

    /// Takes lines until something else than reading on is to be done.
    fn say(handshake: &mut Handshake, lines: &[&str]) -> Result<Next, Refusal> {
        lines.iter().try_fold(Next::Read, |_, line| handshake.line(line.as_bytes()))
    }

    fn sent(next: Result<Next, Refusal>) -> String {
        let Ok(Next::Send(bytes)) = next else { panic!("{next:?}") };
        let text = String::from_utf8(bytes).expect("text");
        let words = text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with(['*', '$']));
        words.collect::<Vec<_>>().join(" ")
    }

    /// A handshake up to PSYNC.
    fn asked(introduction: Introduction) -> Handshake {
        let (mut handshake, first) = Handshake::begin(introduction);
        assert_eq!(first, b"*1\r\n$4\r\nPING\r\n");
        let words = sent(handshake.line(b"+PONG\r"));
        let options = words.matches("REPLCONF").count();
        (1..options).for_each(|_| assert_eq!(handshake.line(b"+OK"), Ok(Next::Read)));
        assert!(sent(handshake.line(b"-ERR Unrecognized REPLCONF option: version")).starts_with("PSYNC"));
        handshake
    }

    #[test]
    fn a_replica_introduces_itself() {
        let (mut handshake, _) = Handshake::begin(Introduction {
            user: Some("u".into()),
            password: Some("p".into()),
            ip: Some("1.2.3.4".into()),
            has: Some((ID.into(), 99)),
            ..introduction()
        });
        assert_eq!(sent(handshake.line(b"-NOAUTH Authentication required.")), "AUTH u p");
        let words = "REPLCONF listening-port 6380 REPLCONF ip-address 1.2.3.4 \
                     REPLCONF capa eof capa psync2 REPLCONF version 9.1.2";
        assert_eq!(sent(handshake.line(b"+OK")), words);
        assert_eq!(say(&mut handshake, &["+OK", "+OK", "-ERR what?"]), Ok(Next::Read));
        assert_eq!(sent(handshake.line(b"+OK")), format!("PSYNC {ID} 100"));
        assert_eq!(handshake.line(b""), Ok(Next::Read), "a sign of life");
        assert_eq!(handshake.line(b"+CONTINUE\r"), Ok(Next::Continue(None)));
    }

    #[test]
    fn a_copy_comes_with_its_length_or_a_mark() {
        let mark = "m".repeat(MARK_LEN);
        for (line, end) in [
            ("$123".to_owned(), CopyEnd::After(123)),
            (format!("$EOF:{mark}"), CopyEnd::Mark([b'm'; MARK_LEN])),
        ] {
            let mut handshake = asked(introduction());
            let lines = [&format!("+FULLRESYNC {ID} 7"), "", "\r", &*line];
            let form = CopyForm { id: ID.into(), offset: 7, end };
            assert_eq!(say(&mut handshake, &lines), Ok(Next::Copy(form)));
        }
    }

    /// What no primary answers ends the link and nothing else.
    #[test]
    fn odd_answers_end_the_link() {
        let (mut handshake, _) = Handshake::begin(introduction());
        assert!(matches!(handshake.line(b"-ERR unknown"), Err(Refusal::Error(_))));
        let password = Some("wrong".into());
        let (mut handshake, _) = Handshake::begin(Introduction { password, ..introduction() });
        assert_eq!(sent(handshake.line(b"+PONG")), "AUTH wrong");
        assert!(matches!(handshake.line(b"-WRONGPASS"), Err(Refusal::Auth(_))));
        for line in ["-LOADING soon", "-NOMASTERLINK soon"] {
            assert!(matches!(asked(introduction()).line(line.as_bytes()), Err(Refusal::Later(_))));
        }
        let wrong = ["-1", "4611686018427387904", "9223372036854775807", "9223372036854775808"];
        let odd = ["+CONTINUE", "+FULLRESYNC", "+FULLRESYNC x 1", ":1", "+OK", "*1"];
        for line in
            odd.into_iter().map(str::to_owned).chain(wrong.map(|offset| format!("+FULLRESYNC {ID} {offset}")))
        {
            let answer = asked(introduction()).line(line.as_bytes());
            assert!(matches!(answer, Err(Refusal::Unexpected(_))), "{line}: {answer:?}");
        }
        for line in ["$", "$x", "$-1", "$EOF:short", "+OK", "$99999999999999999999999"] {
            let mut handshake = asked(introduction());
            handshake.line(format!("+FULLRESYNC {ID} 7").as_bytes()).expect("a copy");
            assert!(matches!(handshake.line(line.as_bytes()), Err(Refusal::Unexpected(_))), "{line}");
        }
    }

    /// Any bytes are a line or the end: none is a panic.
    #[test]
    fn any_line_is_answered() {
        let mut rng = fastrand::Rng::with_seed(21);
        for _ in 0..20_000 {
            let (mut handshake, _) = Handshake::begin(introduction());
            for _ in 0..12 {
                let known = ["+OK", "+CONTINUE x", "$EOF:", "$1", "+FULLRESYNC ", "-NOAUTH", ""];
                let mut line = rng.choice(known).expect("one").as_bytes().to_vec();
                line.extend((0..rng.usize(..6)).map(|_| rng.u8(..)));
                if handshake.line(&line).is_err() {
                    break;
                }
            }
        }
    }

    /// However a copy is cut into pieces, it is found as a whole, and what stands behind it is left.
    #[test]
    fn a_copy_is_found_in_pieces() {
        let mut rng = fastrand::Rng::with_seed(22);
        for round in 0..2000 {
            let copy: Vec<u8> = (0..rng.usize(..200)).map(|_| *rng.choice(b"am").expect("one")).collect();
            let mark = [b'm'; MARK_LEN];
            let has_mark = round % 2 == 0 && !copy.ends_with(b"m") && copy.windows(40).all(|all| all != mark);
            let (end, mut all) = (CopyEnd::After(copy.len() as u64), copy.clone());
            let end = if has_mark { CopyEnd::Mark(mark) } else { end };
            all.extend_from_slice(if has_mark { &mark } else { b"behind" });
            let (mut reader, mut input, mut loaded) = (CopyReader::new(end), Vec::new(), Vec::new());
            let mut ended = false;
            while !ended {
                let count = rng.usize(..=all.len().min(50));
                input.extend(all.drain(..count));
                let (bytes, is_end) = reader.take(&mut input);
                loaded.extend(bytes);
                ended = is_end;
            }
            input.append(&mut all);
            assert_eq!(loaded, copy);
            assert_eq!(input, if has_mark { &b""[..] } else { b"behind" });
        }
    }
}
