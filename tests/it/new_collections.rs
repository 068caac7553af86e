//! Bitmaps, lists, sets and sorted sets: what Redis 8.2 to 8.12 added.

use crate::harness::*;
use crate::waiting::waiting;

#[test]
fn bitop_joins_in_further_ways() {
    table(
        r#"
        SET a "\xff\x0f" => +OK~
        SET b "\x0f" => +OK~
        SET c "\x03\xff\xff" => +OK~
        BITOP DIFF d a b => :2~
        BITCOUNT d => :8~
        BITFIELD d GET u8 0 GET u8 8 => *2~:240~:15~
        BITOP DIFF d b a => :2~
        BITCOUNT d => :0~
        STRLEN d => :2~
        BITOP diff1 d a b c => :3~
        BITFIELD d GET u8 0 GET u8 8 GET u8 16 => *3~:0~:240~:255~
        BITOP ANDOR d a b c => :3~
        BITFIELD d GET u8 0 GET u8 8 GET u8 16 => *3~:15~:15~:0~
        BITOP ONE d a b c => :3~
        BITFIELD d GET u8 0 GET u8 8 GET u8 16 => *3~:240~:240~:255~
        BITOP ONE d a => :2~
        BITFIELD d GET u8 0 GET u8 8 => *2~:255~:15~
        BITOP ONE d a a b => :2~
        BITFIELD d GET u8 0 GET u8 8 => *2~:0~:0~
        BITOP DIFF d none none => :0~
        EXISTS d => :0~
        BITOP ONE a a b => :2~
        BITFIELD a GET u8 0 GET u8 8 => *2~:240~:15~
        BITOP DIFF d a => -ERR BITOP DIFF must be called with at least two source keys.~
        BITOP diff1 d a => -ERR BITOP DIFF1 must be called with at least two source keys.~
        BITOP ANDOR d a => -ERR BITOP ANDOR must be called with at least two source keys.~
        BITOP NAND d a b => -ERR syntax error~
        SADD s m => :1~
        BITOP ONE d a s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}

#[test]
fn sorted_sets_count_where_members_are() {
    table(
        r#"
        ZADD y 5 a 7 b => :2~
        ZADD z 9 b 3 c => :2~
        SADD s b => :1~
        ZUNION 3 y z s AGGREGATE COUNT WITHSCORES => *6~$1~a~$1~1~$1~c~$1~1~$1~b~$1~3~ => *3~*2~$1~a~,1~*2~$1~c~,1~*2~$1~b~,3~
        ZUNION 2 y z WEIGHTS 10 0.5 AGGREGATE COUNT WITHSCORES => *6~$1~c~$3~0.5~$1~a~$2~10~$1~b~$4~10.5~ => *3~*2~$1~c~,0.5~*2~$1~a~,10~*2~$1~b~,10.5~
        ZINTER 2 y z AGGREGATE count WITHSCORES => *2~$1~b~$1~2~ => *1~*2~$1~b~,2~
        ZINTERSTORE d 3 y z s WEIGHTS 1 2 4 AGGREGATE COUNT => :1~
        ZSCORE d b => $1~7~ => ,7~
        ZUNIONSTORE d 2 y none AGGREGATE COUNT => :2~
        ZRANGE d 0 -1 WITHSCORES => *4~$1~a~$1~1~$1~b~$1~1~ => *2~*2~$1~a~,1~*2~$1~b~,1~
        ZUNIONSTORE d 2 none none AGGREGATE COUNT => :0~
        EXISTS d => :0~
        ZUNION 1 y AGGREGATE => -ERR syntax error~
        ZUNION 1 y AGGREGATE AVG => -ERR syntax error~
        "#,
    );
}

#[test]
fn unions_and_differences_are_counted() {
    table(
        r#"
        SADD a 1 2 3 x => :4~
        SADD b 3 4 y => :3~
        SUNIONCARD 2 a b => :6~
        SUNIONCARD 3 a b a LIMIT 0 => :6~
        SUNIONCARD 2 a b LIMIT 5 => :5~
        SUNIONCARD 2 a b LIMIT 2 => :2~
        SUNIONCARD 2 a b LIMIT 100 => :6~
        SUNIONCARD 2 a b APPROX => :6~
        SUNIONCARD 2 a b LIMIT 3 APPROX => :3~
        SUNIONCARD 2 none nothing => :0~
        SUNIONCARD 1 a => :4~
        SDIFFCARD 2 a b => :3~
        SDIFFCARD 2 a b LIMIT 2 => :2~
        SDIFFCARD 2 a b LIMIT 0 => :3~
        SDIFFCARD 2 b a => :2~
        SDIFFCARD 2 a a => :0~
        SDIFFCARD 2 none a => :0~
        SDIFFCARD 2 a none => :4~
        SDIFFCARD 0 a => -ERR numkeys should be greater than 0~
        SUNIONCARD x a => -ERR numkeys should be greater than 0~
        SUNIONCARD 3 a b => -ERR Number of keys can't be greater than number of args~
        SDIFFCARD 2 a b LIMIT -1 => -ERR LIMIT can't be negative~
        SUNIONCARD 2 a b LIMIT x => -ERR LIMIT can't be negative~
        SDIFFCARD 2 a b APPROX => -ERR syntax error~
        SUNIONCARD 2 a b LIMIT => -ERR syntax error~
        SUNIONCARD 1 a b => -ERR syntax error~
        SDIFFCARD 1 => -ERR wrong number of arguments for 'sdiffcard' command~
        SET k v => +OK~
        SUNIONCARD 2 a k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SDIFFCARD 2 a k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        COMMAND GETKEYS SUNIONCARD 2 a b LIMIT 1 => *2~$1~a~$1~b~
        EVAL "return redis.call('sdiffcard', 2, KEYS[1], KEYS[2])" 2 a b => :3~
        "#,
    );
}

#[test]
fn lmovem_moves_many() {
    table(
        r#"
        RPUSH l a b c d e f => :6~
        LMOVEM l m LEFT RIGHT => *1~$1~a~
        LMOVEM l m LEFT LEFT COUNT 2 OBO => *2~$1~c~$1~b~
        LRANGE m 0 -1 => *3~$1~c~$1~b~$1~a~
        LMOVEM m l RIGHT LEFT COUNT 2 OBO => *2~$1~b~$1~a~
        LRANGE l 0 -1 => *5~$1~b~$1~a~$1~d~$1~e~$1~f~
        LMOVEM l m RIGHT RIGHT COUNT 2 OBO => *2~$1~f~$1~e~
        LRANGE m 0 -1 => *3~$1~c~$1~f~$1~e~
        LMOVEM l m RIGHT RIGHT EXACTLY 2 BULK => *2~$1~a~$1~d~
        LRANGE m 0 -1 => *5~$1~c~$1~f~$1~e~$1~a~$1~d~
        LMOVEM m l LEFT LEFT EXACTLY 3 BULK => *3~$1~c~$1~f~$1~e~
        LRANGE l 0 -1 => *4~$1~c~$1~f~$1~e~$1~b~
        LMOVEM l m LEFT LEFT EXACTLY 5 OBO => *-1~ => _~
        LMOVEM l l LEFT LEFT EXACTLY 2 OBO => *2~$1~f~$1~c~
        LMOVEM l l LEFT LEFT EXACTLY 4 BULK => *4~$1~f~$1~c~$1~e~$1~b~
        LMOVEM l l LEFT RIGHT COUNT 100 OBO => *4~$1~f~$1~c~$1~e~$1~b~
        LRANGE l 0 -1 => *4~$1~f~$1~c~$1~e~$1~b~
        LMOVEM l m LEFT RIGHT COUNT 100 BULK => *4~$1~f~$1~c~$1~e~$1~b~
        EXISTS l => :0~
        LMOVEM l m LEFT RIGHT => *0~
        LMOVEM l m LEFT RIGHT COUNT 2 BULK => *0~
        LMOVEM l m LEFT RIGHT EXACTLY 2 BULK => *-1~ => _~
        EXPIRE m 100 => :1~
        RPUSH l x => :1~
        LMOVEM l m LEFT RIGHT => *1~$1~x~
        TTL m => :100~
        LMOVEM m n UP RIGHT => -ERR syntax error~
        LMOVEM m n LEFT RIGHT COUNT 2 => -ERR syntax error~
        LMOVEM m n LEFT RIGHT COUNT 2 ALL => -ERR syntax error~
        LMOVEM m n LEFT RIGHT SOME 2 OBO => -ERR syntax error~
        LMOVEM m n LEFT RIGHT COUNT 0 OBO => -ERR count should be greater than 0~
        LMOVEM m n LEFT RIGHT EXACTLY x OBO => -ERR exactly should be greater than 0~
        LMOVEM m n LEFT => -ERR wrong number of arguments for 'lmovem' command~
        SET k v => +OK~
        LMOVEM k m LEFT RIGHT => -WRONGTYPE Operation against a key holding the wrong kind of value~
        LMOVEM m k LEFT RIGHT => -WRONGTYPE Operation against a key holding the wrong kind of value~
        LLEN m => :7~
        BLMOVEM m n LEFT RIGHT 0 COUNT 2 OBO => *2~$1~a~$1~d~
        BLMOVEM m n LEFT RIGHT x => -ERR timeout is not a float or out of range~
        BLMOVEM m n LEFT RIGHT -1 => -ERR timeout is negative~
        MULTI => +OK~
        BLMOVEM m n LEFT RIGHT 0 EXACTLY 100 BULK => +QUEUED~
        BLMOVEM none n LEFT RIGHT 0 => +QUEUED~
        EXEC => *2~*-1~*-1~ => *2~_~_~
        EVAL "return redis.call('blmovem', KEYS[1], KEYS[2], 'LEFT', 'LEFT', 0)" 2 none n => $-1~ => _~
        EVAL "return redis.call('lmovem', KEYS[1], KEYS[2], 'LEFT', 'LEFT', 'COUNT', 2, 'BULK')" 2 n o => *2~$1~a~$1~d~
        COMMAND GETKEYS LMOVEM m n LEFT RIGHT => *2~$1~m~$1~n~
        "#,
    );
}

/// A client that wants more than there is waits on, and those behind it are served.
#[test]
fn blmovem_waits_until_there_are_enough() {
    let server = TestServer::start();
    let mut three = waiting(&server, "BLMOVEM l m LEFT RIGHT 0 EXACTLY 3 BULK");
    let mut two = waiting(&server, "BLMOVEM l m LEFT RIGHT 0 COUNT 2 OBO");
    let mut late = waiting(&server, "BLMOVEM l m LEFT RIGHT 5 EXACTLY 100 BULK");
    let mut client = server.client();
    client.check("RPUSH l a", ":1~");
    two.check_next("*1~$1~a~");
    client.check("RPUSH l b c", ":2~");
    client.check("LLEN l", ":2~");
    client.check("RPUSH l d e", ":4~");
    three.check_next("*3~$1~b~$1~c~$1~d~");
    client.check("LRANGE l 0 -1", "*1~$1~e~");
    client.check("LRANGE m 0 -1", "*4~$1~a~$1~b~$1~c~$1~d~");
    server.advance_ms(5000);
    late.check_next("*-1~");
    let mut chain = waiting(&server, "BLPOP n 0");
    let mut unblocked = waiting(&server, "BLMOVEM none n LEFT RIGHT 0");
    client.check("LMOVEM l n LEFT LEFT", "*1~$1~e~");
    chain.check_next("*2~$1~n~$1~e~");
    let id = client.call(&["CLIENT", "LIST"]).text();
    let id = id.lines().find(|line| line.contains("cmd=blmovem")).expect("it waits");
    let id = id.split_once(' ').expect("fields").0.trim_start_matches("id=").to_owned();
    client.check(&format!("CLIENT UNBLOCK {id} ERROR"), ":1~");
    unblocked.check_next("-UNBLOCKED client unblocked via CLIENT UNBLOCK~");
}

#[test]
fn zmove_moves_by_score() {
    table(
        r#"
        ZADD a 1 x 2 y 3 z 4 w => :4~
        ZMOVE a b MIN => *1~$1~x~
        ZMOVE a b MAX COUNT 2 => *2~$1~w~$1~z~
        ZRANGE b 0 -1 WITHSCORES => *6~$1~x~$1~1~$1~z~$1~3~$1~w~$1~4~ => *3~*2~$1~x~,1~*2~$1~z~,3~*2~$1~w~,4~
        ZADD a 9 w => :1~
        ZMOVE b a BYSCORE (1 4 => *2~$1~z~$1~w~
        ZSCORE a w => $1~4~ => ,4~
        ZMOVE a b BYSCORE -inf +inf COUNT 2 => *2~$1~y~$1~z~
        ZMOVE a b BYSCORE 100 200 => *-1~ => _~
        ZMOVE a a MIN => *-1~ => _~
        ZMOVE none b MIN => *-1~ => _~
        EXPIRE b 100 => :1~
        ZMOVE a b MIN COUNT 10 => *1~$1~w~
        EXISTS a => :0~
        TTL b => :100~
        ZMOVE b c BYSCORE 0 9 => *4~$1~x~$1~y~$1~z~$1~w~
        EXISTS b => :0~
        TTL c => :-1~
        ZMOVE c b MIN COUNT 0 => -ERR count should be greater than 0~
        ZMOVE c b MIN COUNT x => -ERR count should be greater than 0~
        ZMOVE c b MIN COUNT => -ERR syntax error~
        ZMOVE c b LOWEST => -ERR syntax error~
        ZMOVE c b BYSCORE 1 => -ERR syntax error~
        ZMOVE c b BYSCORE x 1 => -ERR min or max is not a float~
        ZMOVE c b => -ERR wrong number of arguments for 'zmove' command~
        SET k v => +OK~
        ZMOVE k b MIN => -WRONGTYPE Operation against a key holding the wrong kind of value~
        ZMOVE c k MIN => -WRONGTYPE Operation against a key holding the wrong kind of value~
        ZMOVE none k MIN => *-1~ => _~
        ZCARD c => :4~
        ZMOVEMEMBER c b MEMBERS 3 z none z => *1~$1~z~
        ZMOVEMEMBER c b NX MEMBERS 2 y x => *2~$1~y~$1~x~
        ZADD c 7 x 8 v => :2~
        ZMOVEMEMBER c b NX MEMBERS 1 x => *-1~ => _~
        ZMOVEMEMBER c b xx MEMBERS 2 v x => *1~$1~x~
        ZSCORE b x => $1~7~ => ,7~
        ZMOVEMEMBER c c MEMBERS 1 v => *-1~ => _~
        ZMOVEMEMBER none k MEMBERS 1 v => *-1~ => _~
        ZMOVEMEMBER c d XX MEMBERS 1 v => *-1~ => _~
        EXISTS d => :0~
        ZMOVEMEMBER c b MEMBERS 2 v => -ERR The `num-members` parameter must match the number of arguments~
        ZMOVEMEMBER c b MEMBERS 0 v => -ERR Number of members must be a positive integer~
        ZMOVEMEMBER c b NX XX MEMBERS 1 v => -ERR syntax error~
        ZMOVEMEMBER c b MEMBERS 1 => -ERR wrong number of arguments for 'zmovemember' command~
        ZMOVEMEMBER c k MEMBERS 1 v => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BZMOVE c d MAX 0 => *1~$1~v~
        BZMOVE c d MIN 0 COUNT 10 => *1~$1~w~
        BZMOVE c c MIN 0 => *-1~ => _~
        BZMOVE d d MIN 0 => *-1~ => _~
        BZMOVE c d BYSCORE 1 2 => -ERR syntax error~
        BZMOVE c d MIN x => -ERR timeout is not a float or out of range~
        MULTI => +OK~
        BZMOVE none d MIN 0 => +QUEUED~
        ZMOVE d none MAX => +QUEUED~
        EXEC => *2~*-1~*1~$1~v~ => *2~_~*1~$1~v~
        COMMAND GETKEYS ZMOVEMEMBER c d MEMBERS 1 v => *2~$1~c~$1~d~
        "#,
    );
}

#[test]
fn bzmove_waits_for_a_member() {
    let server = TestServer::start();
    let mut first = waiting(&server, "BZMOVE a b MIN 0 COUNT 2");
    let mut second = waiting(&server, "BZMOVE a c MAX 0");
    let mut third = waiting(&server, "BZPOPMIN c 0");
    let mut late = waiting(&server, "BZMOVE none b MIN 1");
    let mut client = server.client();
    client.check("ZADD b 1 m", ":1~");
    client.check("ZADD a 1 x 2 y 3 z", ":3~");
    first.check_next("*2~$1~x~$1~y~");
    second.check_next("*1~$1~z~");
    third.check_next("*3~$1~c~$1~z~$1~3~");
    client.check("ZRANGE b 0 -1", "*3~$1~m~$1~x~$1~y~");
    client.check("EXISTS a c", ":0~");
    server.advance_ms(1000);
    late.check_next("*-1~");
}
