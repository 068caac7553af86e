//! Large replies, long pipelines and many subscribers: what others get done meanwhile, and what memory it
//! takes.

use std::io::Read;

use crate::harness::*;

const MB: usize = 1 << 20;

/// Bytes that all clients' buffers take. The allocator's figure is of the process, in which other tests run.
fn buffers(client: &mut Client) -> usize {
    let list = client.value("CLIENT LIST").text();
    let sizes = list.split_ascii_whitespace().filter_map(|word| word.strip_prefix("tot-mem="));
    sizes.map(|size| size.parse::<usize>().expect("a number")).sum()
}

/// Sixteen clients that do not read their reply of 10 MB: others are answered, nothing is held twice, and
/// when the replies were read at last, byte for byte, the memory is given back.
#[test]
fn readers_of_large_replies_keep_nobody_waiting() {
    const READERS: usize = 16;
    let server = TestServer::start();
    let mut client = server.client();
    client.check(&format!("SETRANGE big {} x", 10 * MB - 1), &format!(":{}~", 10 * MB));
    let mut readers: Vec<Client> = (0..READERS).map(|_| server.client()).collect();
    for reader in &mut readers {
        reader.send_command("GET big");
        reader.send_command("PING behind");
    }
    for number in 0..200 {
        client.check(&format!("SET other:{number} v"), "+OK~");
    }
    let held = buffers(&mut client);
    assert!(held <= READERS * 11 * MB, "{held} bytes for {READERS} replies of 10 MB");
    for reader in &mut readers {
        let stream = &mut reader.tcp_stream();
        let mut reply = vec![0; 10 * MB + 13];
        stream.read_exact(&mut reply).expect("the whole reply");
        assert!(reply.starts_with(b"$10485760\r\n\0\0") && reply.ends_with(b"\0x\r\n"));
        assert_eq!(show(&reader.read_raw()), "$6~behind~");
    }
    eventually("the replies' memory is given back", || buffers(&mut client) < 2 * MB);
}

/// A pipeline of very many requests, sent before the first reply is read: every request is answered in order,
/// and a client beside it is not kept until its end.
#[test]
fn a_long_pipeline_is_run_beside_others() {
    const REQUESTS: usize = 100_000;
    let server = TestServer::start();
    let (busy, mut other) = (server.client(), server.client());
    let one = encode(&["INCR", "n"]);
    let pipeline = one.repeat(REQUESTS);
    std::thread::scope(|scope| {
        let mut writer = busy.tcp_stream().try_clone().expect("a second handle");
        scope.spawn(move || std::io::Write::write_all(&mut writer, &pipeline).expect("the server reads"));
        // Answered while the pipeline runs: it is at neither end of it, unless the machine ran all of it at
        // once.
        let seen: Vec<i64> = (0..20).map(|_| other.value("INCRBY n 0").int()).collect();
        assert!(seen.is_sorted(), "{seen:?}");
        let mut replies = std::io::BufReader::new(busy.tcp_stream());
        let mut line = String::new();
        for number in 1..=REQUESTS {
            line.clear();
            std::io::BufRead::read_line(&mut replies, &mut line).expect("a reply");
            assert_eq!(line, format!(":{number}\r\n"));
        }
    });
    other.check("GET n", &format!("$6~{REQUESTS}~"));
}

/// A thousand subscribers of one channel, some of which do not read: each gets every message once and in
/// order.
#[test]
fn a_thousand_subscribers_get_each_message_in_order() {
    const SUBSCRIBERS: usize = 1000;
    const MESSAGES: usize = 20;
    let server = TestServer::with(&[("maxclients", "1100")]);
    let mut publisher = server.client();
    let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| server.client()).collect();
    for subscriber in &mut subscribers {
        subscriber.check("SUBSCRIBE c", "*3~$9~subscribe~$1~c~:1~");
    }
    for number in 0..MESSAGES {
        publisher.check(&format!("PUBLISH c {}", number + 10), &format!(":{SUBSCRIBERS}~"));
        publisher.check("PING", "+PONG~");
    }
    for subscriber in &mut subscribers {
        for number in 0..MESSAGES {
            let expected = format!("*3~$7~message~$1~c~$2~{}~", number + 10);
            assert_eq!(show(&subscriber.read_raw()), expected);
        }
    }
}
