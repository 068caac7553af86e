//! SORT.

use crate::harness::*;

#[test]
fn elements_in_order() {
    table(
        r#"
        RPUSH l 3 1 2 10 1.5 => :5~
        SORT l => *5~$1~1~$3~1.5~$1~2~$1~3~$2~10~
        SORT l DESC => *5~$2~10~$1~3~$1~2~$3~1.5~$1~1~
        SORT l ALPHA => *5~$1~1~$3~1.5~$2~10~$1~2~$1~3~
        SORT l ALPHA DESC => *5~$1~3~$1~2~$2~10~$3~1.5~$1~1~
        SORT l LIMIT 1 2 => *2~$3~1.5~$1~2~
        SORT l LIMIT -5 3 => *3~$1~1~$3~1.5~$1~2~
        SORT l LIMIT 1 -1 => *4~$3~1.5~$1~2~$1~3~$2~10~
        SORT l LIMIT 9223372036854775807 9223372036854775807 => *0~
        SORT l BY nosort => *5~$1~3~$1~1~$1~2~$2~10~$3~1.5~
        SORT l BY nosort DESC LIMIT 1 2 => *2~$2~10~$1~2~
        SORT_RO l => *5~$1~1~$3~1.5~$1~2~$1~3~$2~10~
        RPUSH l x => :6~
        SORT l => -ERR One or more scores can't be converted into double~
        SORT l ALPHA LIMIT 0 10 => *6~$1~1~$3~1.5~$2~10~$1~2~$1~3~$1~x~
        SADD s 3 2 1 => :3~
        SORT s => *3~$1~1~$1~2~$1~3~
        ZADD z 3 a 1 b 2 c => :3~
        SORT z ALPHA => *3~$1~a~$1~b~$1~c~
        SORT z BY nosort => *3~$1~b~$1~c~$1~a~
        SORT z BY nosort DESC => *3~$1~a~$1~c~$1~b~
        SORT z BY nosort DESC LIMIT 1 1 => *1~$1~c~
        SORT z => -ERR One or more scores can't be converted into double~
        SORT none => *0~
        SET k v => +OK~
        SORT k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SORT k BLAH => -ERR syntax error~
        SORT l BLAH => -ERR syntax error~
        SORT l LIMIT 0 => -ERR syntax error~
        SORT l LIMIT x 1 => -ERR value is not an integer or out of range~
        SORT l LIMIT 0 x => -ERR value is not an integer or out of range~
        SORT l BY => -ERR syntax error~
        SORT l GET => -ERR syntax error~
        SORT l STORE => -ERR syntax error~
        SORT_RO l STORE d => -ERR syntax error~
        SORT => -ERR wrong number of arguments for 'sort' command~
        "#,
    );
}

#[test]
fn elements_by_what_stands_elsewhere() {
    table(
        r#"
        RPUSH l 3 1 2 10 => :4~
        MSET w_1 5 w_2 3 w_10 -1.5 => +OK~
        HSET h_1 f 9 => :1~
        HSET h_2 f 8 => :1~
        HSET h_3 f 7 => :1~
        SORT l BY w_* => *4~$2~10~$1~3~$1~2~$1~1~
        SORT l BY w_* DESC => *4~$1~1~$1~2~$1~3~$2~10~
        SORT l BY w_* GET # GET w_* GET h_*->f GET none_* => *16~$2~10~$4~-1.5~$-1~$-1~$1~3~$-1~$1~7~$-1~$1~2~$1~3~$1~8~$-1~$1~1~$1~5~$1~9~$-1~ => *16~$2~10~$4~-1.5~_~_~$1~3~_~$1~7~_~$1~2~$1~3~$1~8~_~$1~1~$1~5~$1~9~_~
        SORT l BY h_*->f => *4~$2~10~$1~3~$1~2~$1~1~
        SORT l BY h_*->f GET h_*->f GET h_*-> => *8~$-1~$-1~$1~7~$-1~$1~8~$-1~$1~9~$-1~ => *8~_~_~$1~7~_~$1~8~_~$1~9~_~
        SORT l BY w_* ALPHA => *4~$1~3~$2~10~$1~2~$1~1~
        SORT l BY none_* => *4~$1~1~$2~10~$1~2~$1~3~
        SORT l GET w_1 => *4~$-1~$-1~$-1~$-1~ => *4~_~_~_~_~
        SORT l BY w_* BY nosort => *4~$1~3~$1~1~$1~2~$2~10~
        SORT_RO l BY w_* GET w_* => *4~$4~-1.5~$-1~$1~3~$1~5~ => *4~$4~-1.5~_~$1~3~$1~5~
        SET w_3 abc => +OK~
        SORT l BY w_* => -ERR One or more scores can't be converted into double~
        SORT l BY w_* ALPHA GET w_* => *4~$4~-1.5~$1~3~$1~5~$3~abc~
        SORT l BY l* => *4~$1~1~$2~10~$1~2~$1~3~
        "#,
    );
}

#[test]
fn sorted_elements_are_kept() {
    table(
        r#"
        RPUSH l 3 1 2 => :3~
        SET w_1 a => +OK~
        SORT l STORE d => :3~
        LRANGE d 0 -1 => *3~$1~1~$1~2~$1~3~
        TYPE d => +list~
        SORT l GET w_* GET # STORE d => :6~
        LRANGE d 0 -1 => *6~$1~a~$1~1~$0~~$1~2~$0~~$1~3~
        SORT l LIMIT 10 1 STORE d => :0~
        EXISTS d => :0~
        SORT none STORE d => :0~
        SORT l DESC STORE l => :3~
        LRANGE l 0 -1 => *3~$1~3~$1~2~$1~1~
        SADD s b a c => :3~
        SORT s BY nosort STORE d => :3~
        LRANGE d 0 -1 => *3~$1~a~$1~b~$1~c~
        SORT l STORE d STORE e => :3~
        EXISTS d e => :2~
        COMMAND GETKEYSANDFLAGS SORT l BY w_* STORE a STORE b GET store => *2~*2~$1~l~*2~+RO~+access~*2~$1~b~*2~+OW~+update~ => *2~*2~$1~l~~2~+RO~+access~*2~$1~b~~2~+OW~+update~
        COMMAND GETKEYSANDFLAGS SORT_RO l BY w_* => *1~*2~$1~l~*2~+RO~+access~ => *1~*2~$1~l~~2~+RO~+access~
        "#,
    );
}

/// Keys of patterns lie in thousands of slots, whose locks are found and taken while the command runs.
#[test]
fn patterns_reach_for_thousands_of_slots() {
    const MEMBERS: usize = 3000;
    let server = TestServer::start();
    let mut client = server.client();
    let weight = |member: usize| member * 7919 % 100_003;
    let mut pipeline = Vec::new();
    for member in 0..MEMBERS {
        pipeline.extend(encode(&["SADD", "s", &member.to_string()]));
        pipeline.extend(encode(&["SET", &format!("w:{member}"), &weight(member).to_string()]));
        pipeline.extend(encode(&["HSET", &format!("h:{member}"), "f", &format!("value {member}")]));
    }
    client.send(&pipeline);
    (0..3 * MEMBERS).for_each(|_| drop(client.read_raw()));
    let mut expected: Vec<usize> = (0..MEMBERS).collect();
    expected.sort_by_key(|member| weight(*member));
    let expected: Vec<String> =
        expected.iter().flat_map(|member| [member.to_string(), format!("value {member}")]).collect();
    assert_eq!(client.value("SORT s BY w:* GET # GET h:*->f").texts(), expected);
    client.check("MULTI", "+OK~");
    client.check("SORT s BY w:* GET # GET h:*->f", "+QUEUED~");
    client.check("SORT s BY none:* LIMIT 0 1", "+QUEUED~");
    let replies = client.value("EXEC");
    assert_eq!(replies.items()[0].texts(), expected);
}
