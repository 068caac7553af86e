//! Whatever a client sends, the server answers it without a panic, and goes on answering.
#![no_main]

use std::sync::Arc;

use kvarts::engine::command::Commands;
use kvarts::config::Config;
use kvarts::resp::decode::{Decoder, Limits};
use kvarts::engine::Server;
use kvarts::shared::client::Door;
use kvarts::shared::clock::Clock;
use kvarts::engine::batch::Scratch;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: Vec<Vec<u8>>| {
    let server = Server::new(
        Commands::new(&kvarts::commands::groups()),
        Arc::new(Config::new()),
        Clock::manual(1_700_000_000_000),
        1,
    );
    let mut client = server.new_client("127.0.0.1:1".into(), None, 0, Door::Main);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for line in &lines {
        // A decoder of its own for each line, so that one wrong line is not the end.
        let mut decoder = Decoder::new();
        let mut bytes = line.clone();
        bytes.extend_from_slice(b"\r\n");
        loop {
            let limits = Limits { bulk_max: 1 << 16, authenticated: true };
            let Ok(count @ 1..) = decoder.decode(&bytes, limits) else { break };
            let end = server.run_batch(&mut client, &mut scratch, &decoder, &bytes, count, &mut out);
            if end.stop.is_some() {
                break;
            }
            let dropped = decoder.consume(end.executed);
            bytes.drain(..dropped);
            out.clear();
        }
        server.clock.advance_ms(10);
        server.expire_due();
    }
});
