//! A server and a client of it without sockets, for benchmarks of what happens between them.

use std::hint::black_box;
use std::sync::Arc;

use kvarts::config::Config;
use kvarts::engine::Server;
use kvarts::engine::batch::Scratch;
use kvarts::engine::client::Client;
use kvarts::engine::command::Commands;
use kvarts::resp::decode::{Decoder, Limits};
use kvarts::shared::client::Door;
use kvarts::shared::clock::Clock;

const LIMITS: Limits = Limits { bulk_max: 512 << 20, authenticated: true };

/// A server and one client of it, as a connection has them.
pub struct Session {
    pub server: Arc<Server>,
    client: Client,
    scratch: Scratch,
    decoder: Decoder,
    out: Vec<u8>,
}

impl Session {
    /// A server for so many threads, and its first client.
    pub fn new(workers: usize) -> Self {
        Self::of(Arc::new(Server::new(
            Commands::new(&kvarts::commands::groups()),
            Arc::new(Config::new()),
            Clock::system(),
            workers,
        )))
    }

    /// Another client of a server.
    pub fn of(server: Arc<Server>) -> Self {
        let client = server.new_client("127.0.0.1:1".into(), None, 0, Door::Main);
        Self { server, client, scratch: Scratch::default(), decoder: Decoder::new(), out: Vec::new() }
    }

    /// Runs requests that are there as bytes.
    pub fn run(&mut self, mut bytes: &[u8]) {
        self.out.clear();
        while !bytes.is_empty() {
            let count = self.decoder.decode(bytes, LIMITS).expect("no wrong request");
            let end = self.server.run_batch(
                &mut self.client,
                &mut self.scratch,
                &self.decoder,
                bytes,
                count,
                &mut self.out,
            );
            bytes = &bytes[self.decoder.consume(end.executed)..];
        }
        black_box(&self.out);
    }
}

/// A request's bytes.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}
