//! HyperLogLogs.

use crate::harness::table;

#[test]
fn elements_are_counted() {
    table(
        r#"
        PFADD h a b c => :1~
        PFADD h a => :0~
        PFADD h => :0~
        PFCOUNT h => :3~
        PFADD other c d => :1~
        PFCOUNT h other none => :4~
        PFCOUNT none => :0~
        PFADD empty => :1~
        PFADD empty => :0~
        PFCOUNT empty => :0~
        STRLEN empty => :18~
        TYPE h => +string~
        OBJECT ENCODING h => $3~raw~
        PFMERGE d h other => +OK~
        PFCOUNT d => :4~
        PFMERGE d none => +OK~
        PFCOUNT d => :4~
        PFMERGE new => +OK~
        PFCOUNT new => :0~
        PFDEBUG ENCODING h => +sparse~
        PFDEBUG DECODE h => $44~Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603~
        PFDEBUG TODENSE h => :1~
        PFDEBUG TODENSE h => :0~
        PFDEBUG ENCODING h => +dense~
        STRLEN h => :12304~
        PFCOUNT h => :3~
        PFDEBUG DECODE h => -ERR HLL encoding is not sparse~
        PFMERGE d h => +OK~
        PFDEBUG ENCODING d => +dense~
        PFDEBUG ENCODING none => -ERR The specified key does not exist~
        PFDEBUG BLAH h => -ERR Unknown PFDEBUG subcommand 'BLAH'~
        PFSELFTEST => +OK~
        PFADD => -ERR wrong number of arguments for 'pfadd' command~
        PFCOUNT => -ERR wrong number of arguments for 'pfcount' command~
        "#,
    );
}

#[test]
fn what_is_no_hyperloglog_stays_as_it_is() {
    table(
        r#"
        SET s foo => +OK~
        PFADD s a => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        PFCOUNT s => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        PFCOUNT none s => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        PFMERGE s none => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        PFMERGE d s => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        EXISTS d => :0~
        PFDEBUG ENCODING s => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        GET s => $3~foo~
        RPUSH l a => :1~
        PFADD l a => -WRONGTYPE Operation against a key holding the wrong kind of value~
        PFCOUNT l => -WRONGTYPE Operation against a key holding the wrong kind of value~
        PFMERGE l => -WRONGTYPE Operation against a key holding the wrong kind of value~
        SET short "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x40\x00" => +OK~
        PFCOUNT short => -INVALIDOBJ Corrupted HLL object detected~
        PFADD short a => -INVALIDOBJ Corrupted HLL object detected~
        PFMERGE d short => -INVALIDOBJ Corrupted HLL object detected~
        PFMERGE short => -INVALIDOBJ Corrupted HLL object detected~
        STRLEN short => :18~
        SET form "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff" => +OK~
        PFCOUNT form => -WRONGTYPE Key is not a valid HyperLogLog string value.~
        "#,
    );
}

/// Valkey's switch between two ways to join registers was an unknown subcommand.
#[test]
fn pfdebug_simd_is_taken() {
    table(
        r#"
        PFDEBUG SIMD ON => +enabled~
        PFDEBUG SIMD off => +disabled~
        PFDEBUG SIMD none => -ERR Argument must be ON or OFF~
        PFDEBUG OTHER none => -ERR The specified key does not exist~
        "#,
    );
}
