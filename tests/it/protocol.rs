//! Requests as bytes: whole, in pieces, many at once, and wrong.

use crate::harness::*;

#[test]
fn inline_requests_and_empty_ones() {
    let server = TestServer::start();
    let mut client = server.client();
    for (request, reply) in [
        (&b"PING\r\n"[..], "+PONG~"),
        (b"PING\n", "+PONG~"),
        (b"\r\nPING\r\n", "+PONG~"),
        (b"   PING   hello \r\n", "$5~hello~"),
        (b"*0\r\nPING\r\n", "+PONG~"),
        (b"*-1\r\nPING\r\n", "+PONG~"),
        (b"SET k \"a b\\x41\\n\"\r\n", "+OK~"),
        (b"GET k\r\n", "$5~a bA\\x0a~"),
        (b"SET k 'it\\'s'\r\n", "+OK~"),
        (b"GET k\r\n", "$4~it's~"),
        (b"*1\r\n$4\r\nping\r\n", "+PONG~"),
        (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0~~"),
        (b"*2\r\n$4\r\nECHO\r\n$6\r\na\r\nb\x00c\r\n", "$6~a~b\\x00c~"),
    ] {
        client.send(request);
        assert_eq!(show(&client.read_raw()), reply, "{:?}", String::from_utf8_lossy(request));
    }
}

#[test]
fn a_protocol_error_closes_its_connection_and_no_other() {
    let server = TestServer::start();
    let mut other = server.client();
    let long_line = [b"*".as_slice(), &[b'1'; 70_000]].concat();
    let long_bulk = [b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat();
    let long_inline = vec![b'x'; 70_000];
    for (request, error) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"*1\r\n\r\n", "expected '$', got ' '"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$99999999999\r\n", "invalid bulk length"),
        (b"SET k \"open\r\n", "unbalanced quotes in request"),
        (b"SET k 'open\r\n", "unbalanced quotes in request"),
        (b"SET k \"a\"b'\r\n", "unbalanced quotes in request"),
        (&long_line, "too big mbulk count string"),
        (&long_bulk, "too big bulk count string"),
        (&long_inline, "too big inline request"),
    ] {
        let mut client = server.client();
        // Whole requests before the wrong one are answered.
        client.send(b"PING\r\n");
        drop(client.try_send(request));
        let replies = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        let expected = format!("+PONG\r\n-ERR Protocol error: {error}\r\n");
        assert_eq!(replies, expected, "{:?}", String::from_utf8_lossy(&request[..request.len().min(40)]));
        other.check("PING", "+PONG~");
    }
}

#[test]
fn requests_behind_a_wrong_one_do_not_run() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"SET a 1\r\n*1\r\n:oops\r\nSET b 2\r\n");
    assert_eq!(show(&client.read_to_end()), "+OK~-ERR Protocol error: expected '$', got ':'~");
    server.client().check("MGET a b", "*2~$1~1~$-1~");
}

/// A few requests of every form.
fn sample() -> (Vec<u8>, &'static str) {
    let mut bytes = encode(&[&b"SET"[..], b"key", b"a\r\nvalue"]);
    bytes.extend_from_slice(b"PING\r\n");
    bytes.extend_from_slice(&encode(&[&b"GET"[..], b"key"]));
    bytes.extend_from_slice(b"*0\r\n\r\nECHO \"in line\"\r\n");
    bytes.extend_from_slice(&encode(&["MGET", "key", "none"]));
    (bytes, "+OK~+PONG~$8~a~value~$7~in line~*2~$8~a~value~$-1~")
}

#[test]
fn requests_in_two_pieces_cut_at_any_byte() {
    let server = TestServer::start();
    let (bytes, expected) = sample();
    let mut client = server.client();
    for cut in 0..=bytes.len() {
        client.send(&bytes[..cut]);
        client.send(&bytes[cut..]);
        let replies: Vec<u8> = (0..5).flat_map(|_| client.read_raw()).collect();
        assert_eq!(show(&replies), expected, "cut at {cut}");
    }
}

#[test]
fn requests_byte_by_byte() {
    let server = TestServer::start();
    let (bytes, expected) = sample();
    let mut client = server.client();
    for byte in bytes {
        client.send(&[byte]);
    }
    let replies: Vec<u8> = (0..5).flat_map(|_| client.read_raw()).collect();
    assert_eq!(show(&replies), expected);
}

#[test]
fn a_client_may_leave_within_a_request() {
    let server = TestServer::start();
    let (bytes, _) = sample();
    for cut in 0..bytes.len() {
        let mut client = server.client();
        client.send(&bytes[..cut]);
        client.finish();
        client.read_to_end();
    }
    eventually("all are forgotten", || server.handle().server().clients.count() == 0);
    server.client().check("PING", "+PONG~");
}

/// With so many clients a thread writes the replies to a pipeline late.
#[test]
fn pipelines_of_many_clients_at_once() {
    let server = TestServer::start();
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    for round in 0..25 {
        for (number, client) in clients.iter_mut().enumerate() {
            let key = format!("key:{number}");
            let mut requests = encode(&["SET", &key, &format!("{round}")]);
            requests.extend((0..20).flat_map(|_| encode(&["INCR", &key])));
            requests.extend(encode(&["GET", &key]));
            client.send(&requests);
        }
        for client in &mut clients {
            client.check_next("+OK~");
            (1..=20).for_each(|more| client.check_next(&format!(":{}~", round + more)));
            let last = (round + 20).to_string();
            client.check_next(&format!("${}~{last}~", last.len()));
        }
    }
}

#[test]
fn a_pipeline_of_ten_thousand() {
    let server = TestServer::start();
    let mut client = server.client();
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for number in 0..5000 {
        let (key, value) = (format!("key:{}", number % 700), format!("value {number}"));
        bytes.extend_from_slice(&encode(&["SET", &key, &value]));
        bytes.extend_from_slice(&encode(&["GET", &key]));
        expected.extend_from_slice(format!("+OK\r\n${}\r\n{value}\r\n", value.len()).as_bytes());
    }
    client.send(&bytes);
    let replies: Vec<u8> = (0..10_000).flat_map(|_| client.read_raw()).collect();
    assert!(replies == expected);
    client.check("DBSIZE", ":700~");
}

#[test]
fn replies_wait_for_a_client_that_sends_before_it_reads() {
    let server = TestServer::start();
    let mut client = server.client();
    let value = "x".repeat(100_000);
    client.call(&["SET", "big", &value]);
    // More than any socket buffer holds, in both directions.
    let requests: Vec<u8> = (0..300).flat_map(|_| encode(&["GET", "big"])).collect();
    client.send(&requests);
    for _ in 0..300 {
        assert!(client.read() == Value::Bulk(value.as_bytes().to_vec()));
    }
}

#[test]
fn replies_come_though_the_client_closed_its_sending_half() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"SET k v\r\nGET k\r\n");
    client.finish();
    assert_eq!(show(&client.read_to_end()), "+OK~$1~v~");
}

#[test]
fn binary_keys_and_values_of_every_size() {
    let server = TestServer::start();
    let mut client = server.client();
    let all_bytes: Vec<u8> = (0..=255).collect();
    for size in
        [0, 1, 31, 32, 44, 45, 63, 64, 127, 128, 255, 256, 257, 1000, 16_383, 16_384, 16_385, 1_000_000]
    {
        let value: Vec<u8> = all_bytes.iter().copied().cycle().take(size).collect();
        let key = &value[..size.min(70_000)];
        assert_eq!(client.call(&[b"SET", key, &value]), Value::Simple("OK".into()), "{size}");
        assert!(client.call(&[b"GET", key]) == Value::Bulk(value.clone()), "{size}");
        assert_eq!(client.call(&[b"STRLEN", key]), Value::Int(size as i64));
        assert_eq!(client.call(&[b"DEL", key]), Value::Int(1));
    }
}

#[test]
fn hello_changes_the_version_at_once() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("GET k", "$-1~");
    client.check(
        "HELLO 3",
        "%7~$6~server~$5~redis~$7~version~$5~7.2.4~$5~proto~:3~$2~id~:1~$4~mode~$10~standalone~$4~role~$6~master~$7~modules~*0~",
    );
    client.check("GET k", "_~");
    client.check(
        "HELLO 2 SETNAME me",
        "*14~$6~server~$5~redis~$7~version~$5~7.2.4~$5~proto~:2~$2~id~:1~$4~mode~$10~standalone~$4~role~$6~master~$7~modules~*0~",
    );
    client.check("GET k", "$-1~");
    client.check("CLIENT GETNAME", "$2~me~");
    client.check("HELLO 3 SETNAME you", "%7~$6~server~$5~redis~$7~version~$5~7.2.4~$5~proto~:3~$2~id~:1~$4~mode~$10~standalone~$4~role~$6~master~$7~modules~*0~");
    client.check("RESET", "+RESET~");
    client.check("GET k", "$-1~");
    client.check("CLIENT GETNAME", "$-1~");
}

#[test]
fn quotes_in_the_middle_of_an_inline_word_hold_a_part_of_it() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"ECHO \"a\"b\r\nECHO a\"b \"c\r\nECHO 'a'\"b\"\r\n\"ECHO\"x\r\nECHO end\r\n");
    client.check_next("$2~ab~");
    client.check_next("$4~ab c~");
    client.check_next("$2~ab~");
    client.check_next("-ERR unknown command 'ECHOx', with args beginning with: ~");
    client.check_next("$3~end~");
}

/// A web page can have a browser send this to any port: the line behind it ran. Nothing of it runs, and
/// nothing is answered.
#[test]
fn requests_of_http_are_not_run() {
    let server = TestServer::start();
    for bytes in [
        &b"POST / HTTP/1.1\r\nHost: x\r\nSET owned 1\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\nSET owned 1\r\n",
        b"host: x\r\nSET owned 1\r\n",
        b"*1\r\n$4\r\nPost\r\nSET owned 1\r\n",
        b"MULTI\r\nSET owned 1\r\nPOST\r\nEXEC\r\n",
        b"PING\r\nPING\r\nPING\r\nPOST / HTTP/1.1\r\nSET owned 1\r\n",
        b"SUBSCRIBE c\r\nPOST / HTTP/1.1\r\nSET owned 1\r\n",
    ] {
        let mut client = server.client();
        client.send(bytes);
        client.expect_closed();
    }
    let mut client = server.client();
    client.check("EXISTS owned", ":0~");
    // Not a request of its own: a script may say what it likes.
    assert!(client.raw("EVAL \"return redis.pcall('POST')\" 0").starts_with("-ERR Unknown"));
}

/// The two bytes behind an argument, and the second one behind a number, were passed over unread.
#[test]
fn every_line_ends_as_it_should() {
    let server = TestServer::start();
    for bytes in [
        &b"*2\r\n$3\r\nGET\r\n$1\r\nkXX"[..],
        b"*1\r\n$4\r\nPINGXX*1\r\n$4\r\nPING\r\n",
        b"*1\r\n$4\r\nPING\rX",
        b"*1\rX$4\r\nPING\r\n",
        b"*1\r\n$4\rXPING\r\n",
        b"*1\r\n$0010\rXPING\r\n",
    ] {
        let mut client = server.client();
        client.send(bytes);
        assert_eq!(show(&client.read_to_end()), "-ERR Protocol error: invalid CRLF in request~");
    }
}
