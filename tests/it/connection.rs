//! Commands about the connection itself.

use crate::harness::*;

#[test]
fn ping_echo() {
    table(
        r#"
        PING => +PONG~
        PING hello => $5~hello~
        PING a b => -ERR wrong number of arguments for 'ping' command~
        ECHO hello => $5~hello~
        ECHO "" => $0~~
        ECHO => -ERR wrong number of arguments for 'echo' command~
        ECHO a b => -ERR wrong number of arguments for 'echo' command~
        ping => +PONG~
        "#,
    );
}

#[test]
fn auth_without_a_password() {
    table(
        r#"
        AUTH secret => -ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?~
        AUTH default anything => +OK~
        AUTH nobody anything => -WRONGPASS invalid username-password pair or user is disabled.~
        AUTH a b c => -ERR syntax error~
        AUTH => -ERR wrong number of arguments for 'auth' command~
        "#,
    );
}

#[test]
fn hello_errors() {
    table(
        r#"
        HELLO 1 => -NOPROTO unsupported protocol version~
        HELLO 4 => -NOPROTO unsupported protocol version~
        HELLO x => -ERR Protocol version is not an integer or out of range~
        HELLO 2 BLAH => -ERR Syntax error in HELLO option 'BLAH'~
        HELLO 2 AUTH default => -ERR Syntax error in HELLO option 'AUTH'~
        HELLO 2 SETNAME => -ERR Syntax error in HELLO option 'SETNAME'~
        HELLO 2 SETNAME "a b" => -ERR Client names cannot contain spaces, newlines or special characters.~
        HELLO 3 AUTH nobody x => -WRONGPASS invalid username-password pair or user is disabled.~
        "#,
    );
}

#[test]
fn client_names() {
    table(
        r#"
        CLIENT GETNAME => $-1~ => _~
        CLIENT SETNAME me => +OK~
        CLIENT GETNAME => $2~me~
        CLIENT SETNAME "with space" => -ERR Client names cannot contain spaces, newlines or special characters.~
        CLIENT SETNAME "line\nbreak" => -ERR Client names cannot contain spaces, newlines or special characters.~
        CLIENT SETNAME "" => +OK~
        CLIENT GETNAME => $-1~ => _~
        CLIENT SETNAME => -ERR wrong number of arguments for 'client|setname' command~
        CLIENT SETINFO LIB-NAME lib => +OK~
        CLIENT SETINFO lib-ver 1.2 => +OK~
        CLIENT SETINFO LIB-NAME "a b" => -ERR LIB-NAME cannot contain spaces, newlines or special characters.~
        CLIENT SETINFO LIB-BLAH x => -ERR Unrecognized option 'LIB-BLAH'~
        CLIENT SETINFO LIB-NAME => -ERR wrong number of arguments for 'client|setinfo' command~
        CLIENT NO-EVICT ON => +OK~
        CLIENT NO-EVICT OFF => +OK~
        CLIENT NO-EVICT BLAH => -ERR syntax error~
        CLIENT NO-TOUCH ON => +OK~
        CLIENT NO-TOUCH OFF => +OK~
        CLIENT NO-TOUCH BLAH => -ERR syntax error~
        CLIENT CAPA redirect => +OK~
        CLIENT CAPA => -ERR wrong number of arguments for 'client|capa' command~
        CLIENT REPLY ON => +OK~
        CLIENT REPLY BLAH => -ERR syntax error~
        CLIENT REPLY => -ERR wrong number of arguments for 'client|reply' command~
        CLIENT UNBLOCK 999999 => :0~
        CLIENT UNBLOCK x => -ERR value is not an integer or out of range~
        CLIENT UNBLOCK 1 BLAH => -ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR~
        CLIENT UNBLOCK 999999 ERROR => :0~
        CLIENT UNPAUSE => +OK~
        CLIENT PAUSE x => -ERR timeout is not an integer or out of range~
        CLIENT PAUSE -1 => -ERR timeout is negative~
        CLIENT PAUSE 100 BLAH => -ERR CLIENT PAUSE mode must be WRITE or ALL~
        CLIENT PAUSE => -ERR wrong number of arguments for 'client|pause' command~
        CLIENT KILL => -ERR wrong number of arguments for 'client|kill' command~
        CLIENT KILL 1.1.1.1:1 => -ERR No such client~
        CLIENT KILL ID 999999 => :0~
        CLIENT KILL ID x => -ERR syntax error~
        CLIENT KILL ID 0 => -ERR client-id should be greater than 0~
        CLIENT KILL ADDR 1.1.1.1:1 => :0~
        CLIENT KILL TYPE blah => -ERR Unknown client type 'blah'~
        CLIENT KILL USER nobody => -ERR No such user 'nobody'~
        CLIENT KILL SKIPME blah => -ERR syntax error~
        CLIENT KILL MAXAGE x => -ERR maxage is not an integer or out of range~
        CLIENT KILL MAXAGE 0 => -ERR maxage should be greater than 0~
        CLIENT KILL BLAH x => -ERR syntax error~
        CLIENT KILL ID => -ERR No such client~
        CLIENT LIST BLAH => -ERR syntax error~
        CLIENT LIST TYPE blah => -ERR Unknown client type 'blah'~
        CLIENT LIST ID x => -ERR syntax error~
        CLIENT LIST ID => -ERR syntax error~
        CLIENT LIST ID 999999 => $0~~ => =4~txt:~
        CLIENT LIST NAME nobody => $0~~ => =4~txt:~
        CLIENT LIST FLAGS * => -ERR Unknown flags found in the provided filter: *~
        CLIENT LIST DB 99 => -ERR DB number should be between 0 and 15~
        CLIENT IMPORT-SOURCE ON => -ERR Server is not in import mode~
        CLIENT ID extra => -ERR wrong number of arguments for 'client|id' command~
        CLIENT INFO extra => -ERR wrong number of arguments for 'client|info' command~
        "#,
    );
}

#[test]
fn reset() {
    table(
        r#"
        RESET => +RESET~
        RESET x => -ERR wrong number of arguments for 'reset' command~
        "#,
    );
}

#[test]
fn cluster_commands_outside_a_cluster() {
    table(
        r#"
        CLUSTER INFO => -ERR This instance has cluster support disabled~
        CLUSTER SLOTS => -ERR This instance has cluster support disabled~
        CLUSTER KEYSLOT a => :15495~
        CLUSTER MYID => -ERR This instance has cluster support disabled~
        CLUSTER BLAH => -ERR unknown subcommand 'BLAH'. Try CLUSTER HELP.~
        CLUSTER => -ERR wrong number of arguments for 'cluster' command~
        READONLY => +OK~
        READWRITE => +OK~
        ASKING => -ERR This instance has cluster support disabled~
        "#,
    );
}

#[test]
fn a_password_is_asked_for() {
    let server = TestServer::with(&[("requirepass", "secret")]);
    let mut client = server.client();
    client.check("GET k", "-NOAUTH Authentication required.~");
    client.check("PING", "-NOAUTH Authentication required.~");
    client.check("HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time~");
    client.check("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.~");
    client.check("AUTH default wrong", "-WRONGPASS invalid username-password pair or user is disabled.~");
    client.check("AUTH nobody secret", "-WRONGPASS invalid username-password pair or user is disabled.~");
    // As Valkey does: a stranger is not told which commands there are.
    client.check("BLAH", "-NOAUTH Authentication required.~");
    client.check("AUTH secret", "+OK~");
    client.check("GET k", "$-1~");
    client.check("RESET", "+RESET~");
    client.check("GET k", "-NOAUTH Authentication required.~");
    client.check("AUTH default secret", "+OK~");
    assert_eq!(info(&mut client, "acl_access_denied_auth"), "3");
    let mut other = server.client();
    assert!(matches!(other.value("HELLO 3 AUTH default secret SETNAME me"), Value::Map(_)));
    other.check("CLIENT GETNAME", "$2~me~");
    // A password set later holds for new clients; those inside stay.
    client.check("CONFIG SET requirepass new", "+OK~");
    client.check("PING", "+PONG~");
    let mut later = server.client();
    later.check("AUTH secret", "-WRONGPASS invalid username-password pair or user is disabled.~");
    later.check("AUTH new", "+OK~");
    client.check("CONFIG SET requirepass \"\"", "+OK~");
    server.client().check("PING", "+PONG~");
}

#[test]
fn quit_answers_and_closes() {
    let server = TestServer::start();
    let mut client = server.client();
    client.send(b"PING\r\nQUIT\r\nSET k v\r\n");
    assert_eq!(show(&client.read_to_end()), "+PONG~+OK~");
    server.client().check("EXISTS k", ":0~");
}

#[test]
fn select_is_the_connections_own() {
    let server = TestServer::start();
    let (mut first, mut second) = (server.client(), server.client());
    first.check("SELECT 1", "+OK~");
    first.check("SET k one", "+OK~");
    second.check("GET k", "$-1~");
    second.check("SELECT 1", "+OK~");
    second.check("GET k", "$3~one~");
    first.check("RESET", "+RESET~");
    first.check("GET k", "$-1~");
}

/// A client may send and leave: what it had sent runs, though nobody takes the replies.
#[test]
fn requests_of_a_client_that_has_left_run() {
    const REQUESTS: i64 = 1000;
    let server = TestServer::start();
    for round in 1..=5 {
        let mut client = server.client();
        client.send(&b"INCR n\r\n".repeat(REQUESTS as usize));
        drop(client);
        eventually("all have run", || server.client().raw("INCRBY n 0") == format!(":{}~", round * REQUESTS));
    }
}

/// What stands behind a request that waited when its client left does not run: it may rely on what that was to bring.
#[test]
fn requests_behind_one_that_waits_in_vain_do_not_run() {
    let server = TestServer::start();
    let mut other = server.client();
    for waits in ["BLPOP q 0", "WAIT 9 0"] {
        let mut client = server.client();
        client.send(format!("PING\r\n{waits}\r\nSET behind 1\r\n").as_bytes());
        eventually("it waits", || server.info("blocked_clients") == "1");
        // With a reply that was not read the system tells the server of an error, and of no end.
        drop(client);
        eventually("it is gone", || other.raw("CLIENT LIST").matches("cmd=").count() == 1);
        other.check("EXISTS behind", ":0~");
    }
}
