//! `import-mode` and CLIENT IMPORT-SOURCE: while another server's data is copied here nothing ends by itself.

use crate::harness::*;

#[test]
fn import_source_wants_import_mode() {
    table(
        "
        CLIENT IMPORT-SOURCE ON => -ERR Server is not in import mode~
        CLIENT IMPORT-SOURCE OFF => +OK~
        CLIENT IMPORT-SOURCE x => -ERR syntax error~
        CONFIG SET import-mode yes => +OK~
        CLIENT IMPORT-SOURCE ON => +OK~
        CONFIG SET import-mode no => +OK~
        CLIENT IMPORT-SOURCE OFF => +OK~
    ",
    );
}

/// Keys whose time is over stay, hidden from all but the import source, and go when the mode ends.
#[test]
fn keys_stay_while_they_are_imported() {
    let server = TestServer::start();
    let (mut client, mut source) = (server.client(), server.client());
    client.check("CONFIG SET import-mode yes", "+OK~");
    source.check("CLIENT IMPORT-SOURCE ON", "+OK~");
    assert!(source.value("CLIENT INFO").text().contains(" flags=I "));
    client.check("SET k 5 PX 100", "+OK~");
    client.check("SET past v", "+OK~");
    client.check("EXPIREAT past 1", ":1~");
    client.check("HSETEX h EXAT 0 FIELDS 1 f v", ":1~");
    client.check("HSETEX h PX 100 FIELDS 2 g v i v", ":1~");
    server.advance_ms(1000);
    // In one pipeline, in MULTI and from a script it is the same.
    client.check("DBSIZE", ":3~");
    client.send(b"GET k\r\nTTL k\r\nEXISTS past\r\nHGET h g\r\nKEYS *\r\n");
    for reply in ["$-1~", ":-2~", ":0~", "$-1~", "*1~$1~h~"] {
        client.check_next(reply);
    }
    client.check("DBSIZE", ":3~");
    source.send(b"GET k\r\nTTL k\r\nINCR k\r\nEXISTS past\r\nHGET h g\r\nHLEN h\r\nEVAL \"return redis.call('get', KEYS[1])\" 1 k\r\n");
    for reply in ["$1~5~", ":0~", ":6~", ":1~", "$1~v~", ":3~", "$1~6~"] {
        source.check_next(reply);
    }
    source.check("MULTI", "+OK~");
    source.check("GET k", "+QUEUED~");
    source.check("EXEC", "*1~$1~6~");
    assert_eq!(source.value("KEYS *").items().len(), 3);
    assert_eq!(server.info("expired_keys"), "0");
    source.check("RESET", "+RESET~");
    source.check("GET k", "$-1~");
    assert!(source.value("CLIENT INFO").text().contains(" flags=N "));
    client.check("CONFIG SET import-mode no", "+OK~");
    server.advance_ms(1);
    client.check("DBSIZE", ":0~");
    assert_eq!(server.info("expired_keys"), "2");
    assert_eq!(server.info("expired_fields"), "3");
}

/// RANDOMKEY in a pause answers a key that has ended where there is no other, as Valkey does, and comes to an
/// end.
#[test]
fn a_random_key_of_ended_ones_in_a_pause() {
    let server = TestServer::start();
    let mut client = server.client();
    client.check("SET key v PX 1", "+OK~");
    client.check("CLIENT PAUSE 100000 WRITE", "+OK~");
    server.advance_ms(50);
    client.check("RANDOMKEY", "$3~key~");
    client.check("CLIENT UNPAUSE", "+OK~");
    server.advance_ms(1);
    client.check("RANDOMKEY", "$-1~");
}
