//! Sets.

use crate::harness::table;

#[test]
fn add_remove_and_look() {
    table(
        r#"
        SADD s a => :1~
        SADD s a => :0~
        SADD s b c b => :2~
        SCARD s => :3~
        SISMEMBER s a => :1~
        SISMEMBER s x => :0~
        SMISMEMBER s a x b => *3~:1~:0~:1~
        SMISMEMBER missing a b => *2~:0~:0~
        SISMEMBER missing a => :0~
        SCARD missing => :0~
        SMEMBERS missing => *0~ => ~0~
        SREM s b c x => :2~
        SMEMBERS s => *1~$1~a~ => ~1~$1~a~
        SREM s a => :1~
        EXISTS s => :0~
        SREM missing a => :0~
        TYPE missing => +none~
        SADD s => -ERR wrong number of arguments for 'sadd' command~
        SREM s => -ERR wrong number of arguments for 'srem' command~
        SCARD => -ERR wrong number of arguments for 'scard' command~
        SISMEMBER s => -ERR wrong number of arguments for 'sismember' command~
        SMISMEMBER s => -ERR wrong number of arguments for 'smismember' command~
        SMEMBERS => -ERR wrong number of arguments for 'smembers' command~
        SADD s "" => :1~
        SMEMBERS s => *1~$0~~ => ~1~$0~~
        SADD bin "a\x00b" => :1~
        SMEMBERS bin => *1~$3~a\x00b~ => ~1~$3~a\x00b~
        "#,
    );
}

#[test]
fn set_commands_on_another_type() {
    table(
        r#"
        SET k v => +OK~
        SADD k a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SREM k a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SCARD k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SISMEMBER k a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SMISMEMBER k a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SMEMBERS k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SPOP k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SPOP k 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SRANDMEMBER k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SRANDMEMBER k 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SMOVE k other a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SADD s a => :1~
        SMOVE s k a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SMOVE k s a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SMOVE missing k a => :0~
        SINTER s k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SINTER missing k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SINTER k missing => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SUNION s k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SDIFF s k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SDIFF missing k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SINTERCARD 2 s k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SINTERSTORE d s k => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SSCAN k 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        GET s => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}

#[test]
fn pop_and_random() {
    table(
        r#"
        SPOP missing => $-1~ => _~
        SPOP missing 2 => *0~ => ~0~
        SPOP missing 0 => *0~ => ~0~
        SADD s a => :1~
        SRANDMEMBER s => $1~a~
        SRANDMEMBER s 1 => *1~$1~a~
        SRANDMEMBER s 5 => *1~$1~a~
        SRANDMEMBER s -2 => *2~$1~a~$1~a~
        SRANDMEMBER s 0 => *0~
        SRANDMEMBER missing => $-1~ => _~
        SRANDMEMBER missing 2 => *0~
        SRANDMEMBER missing -2 => *0~
        SRANDMEMBER s x => -ERR value is not an integer or out of range~
        SRANDMEMBER s -9223372036854775808 => -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807~
        SRANDMEMBER s 1 2 => -ERR syntax error~
        SPOP s 0 => *0~ => ~0~
        SPOP s -1 => -ERR value is out of range, must be positive~
        SPOP s x => -ERR value is out of range, must be positive~
        SPOP s 1 2 => -ERR syntax error~
        SPOP s => $1~a~
        EXISTS s => :0~
        SADD s a => :1~
        SPOP s 1 => *1~$1~a~ => ~1~$1~a~
        EXISTS s => :0~
        SADD s a => :1~
        SPOP s 10 => *1~$1~a~ => ~1~$1~a~
        EXISTS s => :0~
        SPOP => -ERR wrong number of arguments for 'spop' command~
        SRANDMEMBER => -ERR wrong number of arguments for 'srandmember' command~
        "#,
    );
}

#[test]
fn move_members() {
    table(
        r#"
        SADD a x => :1~
        SMOVE a b x => :1~
        EXISTS a => :0~
        SMEMBERS b => *1~$1~x~ => ~1~$1~x~
        SMOVE a b x => :0~
        SMOVE b b x => :1~
        SMOVE b b y => :0~
        SADD a x => :1~
        SMOVE a b x => :1~
        SCARD b => :1~
        SMOVE missing b x => :0~
        SMOVE a => -ERR wrong number of arguments for 'smove' command~
        "#,
    );
}

#[test]
fn algebra() {
    table(
        r#"
        SADD a 1 2 3 => :3~
        SADD b 2 3 4 => :3~
        SADD c 3 => :1~
        SINTER a b c => *1~$1~3~ => ~1~$1~3~
        SINTER a => *3~$1~1~$1~2~$1~3~ => ~3~$1~1~$1~2~$1~3~
        SINTER a missing => *0~ => ~0~
        SINTER missing => *0~ => ~0~
        SDIFF c a => *0~ => ~0~
        SDIFF a b => *1~$1~1~ => ~1~$1~1~
        SDIFF missing a => *0~ => ~0~
        SUNION c => *1~$1~3~ => ~1~$1~3~
        SUNION c missing => *1~$1~3~ => ~1~$1~3~
        SINTERCARD 2 a b => :2~
        SINTERCARD 2 a b LIMIT 1 => :1~
        SINTERCARD 2 a b LIMIT 0 => :2~
        SINTERCARD 2 a b LIMIT -1 => -ERR LIMIT can't be negative~
        SINTERCARD 2 a b LIMIT x => -ERR LIMIT can't be negative~
        SINTERCARD 2 a b LIMIT => -ERR syntax error~
        SINTERCARD 2 a b BLAH 1 => -ERR syntax error~
        SINTERCARD 3 a b => -ERR Number of keys can't be greater than number of args~
        SINTERCARD 0 a => -ERR numkeys should be greater than 0~
        SINTERCARD -1 a => -ERR numkeys should be greater than 0~
        SINTERCARD x a => -ERR numkeys should be greater than 0~
        SINTERCARD 1 => -ERR wrong number of arguments for 'sintercard' command~
        SINTERCARD 1 a b => -ERR syntax error~
        SINTERSTORE d a b c => :1~
        SMEMBERS d => *1~$1~3~ => ~1~$1~3~
        SINTERSTORE d a missing => :0~
        EXISTS d => :0~
        SUNIONSTORE d a b => :4~
        SCARD d => :4~
        SDIFFSTORE d a b => :1~
        SMEMBERS d => *1~$1~1~ => ~1~$1~1~
        SDIFFSTORE d a a => :0~
        EXISTS d => :0~
        SET d v => +OK~
        SUNIONSTORE d c => :1~
        TYPE d => +set~
        SINTERSTORE c c c => :1~
        SMEMBERS c => *1~$1~3~ => ~1~$1~3~
        SET e v EX 100 => +OK~
        SUNIONSTORE e c => :1~
        TTL e => :-1~
        SINTER => -ERR wrong number of arguments for 'sinter' command~
        SUNION => -ERR wrong number of arguments for 'sunion' command~
        SDIFF => -ERR wrong number of arguments for 'sdiff' command~
        SINTERSTORE d => -ERR wrong number of arguments for 'sinterstore' command~
        SUNIONSTORE d => -ERR wrong number of arguments for 'sunionstore' command~
        SDIFFSTORE d => -ERR wrong number of arguments for 'sdiffstore' command~
        "#,
    );
}

#[test]
fn scan_a_set() {
    table(
        r#"
        SADD s a => :1~
        SSCAN s 0 => *2~$1~0~*1~$1~a~
        SSCAN s 0 MATCH b* => *2~$1~0~*0~
        SSCAN s 0 MATCH a* COUNT 100 => *2~$1~0~*1~$1~a~
        SSCAN s 0 COUNT 0 => -ERR syntax error~
        SSCAN s 0 COUNT x => -ERR value is not an integer or out of range~
        SSCAN s 0 BLAH => -ERR syntax error~
        SSCAN s 0 NOVALUES => -ERR NOVALUES option can only be used in HSCAN~
        SSCAN s x => -ERR invalid cursor~
        SSCAN missing 0 => *2~$1~0~*0~
        SSCAN s => -ERR wrong number of arguments for 'sscan' command~
        "#,
    );
}

#[test]
fn set_encodings() {
    table(
        r#"
        SADD i 1 2 3 => :3~
        OBJECT ENCODING i => $6~intset~
        SMEMBERS i => *3~$1~1~$1~2~$1~3~ => ~3~$1~1~$1~2~$1~3~
        SISMEMBER i 2 => :1~
        SISMEMBER i 02 => :0~
        SISMEMBER i x => :0~
        SADD i x => :1~
        OBJECT ENCODING i => $8~listpack~
        SADD t abc => :1~
        OBJECT ENCODING t => $8~listpack~
        SADD long aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa => :1~
        OBJECT ENCODING long => $9~hashtable~
        SADD i2 9223372036854775807 -9223372036854775808 => :2~
        OBJECT ENCODING i2 => $6~intset~
        SMEMBERS i2 => *2~$20~-9223372036854775808~$19~9223372036854775807~ => ~2~$20~-9223372036854775808~$19~9223372036854775807~
        SADD i3 9223372036854775808 => :1~
        OBJECT ENCODING i3 => $8~listpack~
        SADD i4 3 1 2 -5 => :4~
        SMEMBERS i4 => *4~$2~-5~$1~1~$1~2~$1~3~ => ~4~$2~-5~$1~1~$1~2~$1~3~
        SREM i4 1 => :1~
        SMEMBERS i4 => *3~$2~-5~$1~2~$1~3~ => ~3~$2~-5~$1~2~$1~3~
        "#,
    );
}
