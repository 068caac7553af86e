//! A replica made by hand: it says what it is told to say and sees the bytes of its link.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::*;

/// What never comes fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

/// One link.
pub struct Replica {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Replica {
    /// A connection that has said nothing.
    pub fn connect(server: &TestServer) -> Self {
        let stream = TcpStream::connect(server.address()).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, buffer: Vec::new() }
    }

    /// A replica that has a copy of all data and has acknowledged it; the stream follows. Returns also the id
    /// and the offset.
    pub fn follow(server: &TestServer) -> (Self, String, u64) {
        let mut replica = Self::connect(server);
        replica.introduce(7001);
        let (id, offset) = replica.ask_for_all();
        replica.copy();
        replica.acknowledge(offset);
        (replica, id, offset)
    }

    /// Says what Valkey says of itself.
    pub fn introduce(&mut self, port: u16) {
        assert_eq!(self.ask(&["REPLCONF", "listening-port", &port.to_string()]), "+OK");
        assert_eq!(self.ask(&["REPLCONF", "capa", "eof", "capa", "psync2"]), "+OK");
        assert_eq!(self.ask(&["REPLCONF", "version", "9.1.2"]), "+OK");
    }

    /// Asks for all data. Returns id and offset.
    pub fn ask_for_all(&mut self) -> (String, u64) {
        self.say(&["PSYNC", "?", "-1"]);
        self.asked_for_all()
    }

    /// Reads the answer to that.
    pub fn asked_for_all(&mut self) -> (String, u64) {
        let line = self.line();
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[0], "+FULLRESYNC", "{line}");
        (words[1].to_owned(), words[2].parse().expect("an offset"))
    }

    /// Sends a command and returns the line that answers it.
    pub fn ask(&mut self, words: &[&str]) -> String {
        self.say(words);
        self.line()
    }

    /// Sends a command.
    pub fn say(&mut self, words: &[&str]) {
        self.stream.write_all(&encode(words)).expect("the server reads");
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Acknowledges an offset.
    pub fn acknowledge(&mut self, offset: u64) {
        self.say(&["REPLCONF", "ACK", &offset.to_string()]);
    }

    fn fill(&mut self) -> usize {
        let mut chunk = [0; 64 << 10];
        let read = self.stream.read(&mut chunk);
        let count = read
            .unwrap_or_else(|error| panic!("{error}, behind {:?}", String::from_utf8_lossy(&self.buffer)));
        self.buffer.extend_from_slice(&chunk[..count]);
        count
    }

    /// The next line that is not empty.
    pub fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !line.is_empty() {
                    return line;
                }
                continue;
            }
            assert!(self.fill() > 0, "closed; so far: {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill() > 0, "closed; so far: {:?}", String::from_utf8_lossy(&self.buffer));
        }
        self.buffer.drain(..count).collect()
    }

    /// A whole copy, with a mark behind it or its length ahead.
    pub fn copy(&mut self) -> Vec<u8> {
        let line = self.line();
        let Some(mark) = line.strip_prefix("$EOF:").map(str::to_owned) else {
            let len = line.strip_prefix('$').and_then(|len| len.parse().ok());
            return self.bytes(len.expect("a length"));
        };
        assert_eq!(mark.len(), 40);
        while !self.buffer.ends_with(mark.as_bytes()) {
            assert!(self.fill() > 0, "closed within the copy");
        }
        let mut copy = std::mem::take(&mut self.buffer);
        copy.truncate(copy.len() - 40);
        copy
    }

    /// The next bytes are these; `~` stands for a line end.
    #[track_caller]
    pub fn expect(&mut self, expected: &str) {
        let bytes = self.bytes(expected.replace('~', "\r\n").len());
        assert_eq!(show(&bytes), expected);
    }

    /// The server closes, whatever it sent before. Returns the number of bytes.
    pub fn expect_closed(&mut self) -> usize {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server did not close: {error}"),
        }
        self.buffer.len() + rest.len()
    }
}
