//! Whatever a script asks for, the server answers it in time and goes on answering.
#![no_main]

#[path = "../script_grammar.rs"]
mod script_grammar;

use std::sync::Arc;

use kvarts::engine::command::Commands;
use kvarts::config::Config;
use kvarts::resp::decode::{Decoder, Limits};
use kvarts::engine::Server;
use kvarts::shared::client::Door;
use kvarts::shared::clock::Clock;
use kvarts::engine::batch::Scratch;
use libfuzzer_sys::fuzz_target;

/// A script ends by itself, as it can be undone and may take so many milliseconds only.
const SETTINGS: [(&str, &str); 2] = [("lua-memory-limit", "4mb"), ("busy-reply-threshold", "50")];

fuzz_target!(|bytes: &[u8]| {
    let config = Config::from_pairs(SETTINGS).expect("settings that there are");
    let server = Server::new(
        Commands::new(&kvarts::commands::groups()),
        Arc::new(config),
        Clock::manual(1_700_000_000_000),
        1,
    );
    let mut client = server.new_client("127.0.0.1:1".into(), None, 0, Door::Main);
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    let script = format!("#!lua flags=atomic\n{}", script_grammar::script(bytes));
    let request =
        format!("*5\r\n$4\r\nEVAL\r\n${}\r\n{script}\r\n$1\r\n1\r\n$1\r\nk\r\n$1\r\na\r\n", script.len());
    let mut decoder = Decoder::new();
    let limits = Limits { bulk_max: 1 << 20, authenticated: true };
    let count = decoder.decode(request.as_bytes(), limits).expect("a request");
    server.run_batch(&mut client, &mut scratch, &decoder, request.as_bytes(), count, &mut out);
    assert!(!out.is_empty(), "{script}");
});
