//! Bitmaps and integers in strings.

use crate::harness::table;

#[test]
fn bits_are_counted() {
    table(
        r#"
        SET k foobar => +OK~
        BITCOUNT k => :26~
        BITCOUNT k 0 => :26~
        BITCOUNT k 1 1 => :6~
        BITCOUNT k -2 -1 BYTE => :7~
        BITCOUNT k 5 30 BIT => :17~
        BITCOUNT k -8 -1 bit => :4~
        BITCOUNT k 4 2 => :0~
        BITCOUNT k -2 -5 => :0~
        BITCOUNT k 9223372036854775807 -9223372036854775808 => :0~
        BITCOUNT k -9223372036854775808 9223372036854775807 BIT => :26~
        BITCOUNT none => :0~
        SET number 12 => +OK~
        BITCOUNT number => :6~
        BITCOUNT k x => -ERR value is not an integer or out of range~
        BITCOUNT k 0 x => -ERR value is not an integer or out of range~
        BITCOUNT k 0 1 BLAH => -ERR syntax error~
        BITCOUNT k x 1 BLAH => -ERR value is not an integer or out of range~
        BITCOUNT k 0 1 BIT more => -ERR syntax error~
        BITCOUNT none 0 x => -ERR value is not an integer or out of range~
        RPUSH l a => :1~
        BITCOUNT l => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BITCOUNT => -ERR wrong number of arguments for 'bitcount' command~
        "#,
    );
}

#[test]
fn bits_are_found() {
    table(
        r#"
        SET k "\xff\xf0\x00" => +OK~
        BITPOS k 0 => :12~
        BITPOS k 1 => :0~
        BITPOS k 1 2 => :-1~
        BITPOS k 0 1 => :12~
        BITPOS k 0 1 -1 BYTE => :12~
        BITPOS k 0 8 11 BIT => :-1~
        BITPOS k 1 -12 -1 BIT => :-1~
        BITPOS k 1 -20 -10 => :0~
        SET ones "\xff\xff" => +OK~
        BITPOS ones 0 => :16~
        BITPOS ones 0 1 => :16~
        BITPOS ones 0 0 -1 => :-1~
        BITPOS ones 0 5 => :-1~
        SET nothing "" => +OK~
        BITPOS nothing 0 => :-1~
        BITPOS none 0 => :0~
        BITPOS none 1 => :-1~
        BITPOS none 0 5 9 => :0~
        BITPOS k 2 => -ERR The bit argument must be 1 or 0.~
        BITPOS k x => -ERR value is not an integer or out of range~
        BITPOS k 1 x => -ERR value is not an integer or out of range~
        BITPOS k 1 0 1 BLAH => -ERR syntax error~
        BITPOS k 1 0 1 BIT more => -ERR syntax error~
        RPUSH l a => :1~
        BITPOS l 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BITPOS k => -ERR wrong number of arguments for 'bitpos' command~
        "#,
    );
}

#[test]
fn strings_are_joined_bit_by_bit() {
    table(
        r#"
        SET a abc => +OK~
        SET b ab => +OK~
        BITOP AND d a b => :3~
        BITCOUNT d => :6~
        STRLEN d => :3~
        BITOP OR d a b => :3~
        GET d => $3~abc~
        BITOP XOR d a b => :3~
        BITPOS d 1 => :17~
        BITOP NOT d a => :3~
        BITOP NOT d d => :3~
        GET d => $3~abc~
        BITOP and d a none => :3~
        BITCOUNT d => :0~
        BITOP OR d none => :0~
        EXISTS d => :0~
        BITOP OR d none other => :0~
        BITOP XOR a a a => :3~
        BITCOUNT a => :0~
        SET number 1234 => +OK~
        BITOP OR d number => :4~
        GET d => $4~1234~
        OBJECT ENCODING d => $3~raw~
        BITOP NOT d a b => -ERR BITOP NOT must be called with a single source key.~
        BITOP BLAH d a => -ERR syntax error~
        BITOP NOT d => -ERR wrong number of arguments for 'bitop' command~
        RPUSH l a => :1~
        BITOP AND d b l => -WRONGTYPE Operation against a key holding the wrong kind of value~
        "#,
    );
}

#[test]
fn integers_of_any_width() {
    table(
        r#"
        BITFIELD k SET u8 0 255 GET u4 0 INCRBY u4 4 1 => *3~:0~:15~:0~
        BITFIELD k SET i8 #1 -100 GET i8 8 INCRBY i8 #1 -100 => *3~:0~:-100~:56~
        BITFIELD k OVERFLOW SAT INCRBY i8 8 127 OVERFLOW FAIL INCRBY i8 8 1 GET i8 8 => *3~:127~$-1~:127~ => *3~:127~_~:127~
        BITFIELD k OVERFLOW SAT SET u4 0 100 GET u4 0 => *2~:15~:15~
        BITFIELD k OVERFLOW FAIL SET u4 0 100 GET u4 0 => *2~$-1~:15~ => *2~_~:15~
        BITFIELD k INCRBY u63 100 9223372036854775807 INCRBY u63 100 1 => *2~:9223372036854775807~:0~
        BITFIELD k SET i64 200 -1 GET i64 200 INCRBY i64 200 1 => *3~:0~:-1~:0~
        STRLEN k => :33~
        BITFIELD k => *0~
        BITFIELD none GET u8 0 GET i5 100 => *2~:0~:0~
        EXISTS none => :0~
        BITFIELD none OVERFLOW FAIL INCRBY u8 0 300 => *1~$-1~ => *1~_~
        STRLEN none => :1~
        BITFIELD_RO k GET u8 0 GET i8 8 => *2~:240~:127~
        BITFIELD_RO k SET u8 0 1 => -ERR BITFIELD_RO only supports the GET subcommand~
        BITFIELD_RO k OVERFLOW SAT => *0~
        BITFIELD_RO k => *0~
        BITFIELD k GET u8 => -ERR syntax error~
        BITFIELD k GET u64 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.~
        BITFIELD k GET i65 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.~
        BITFIELD k GET u0 0 => -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.~
        BITFIELD k GET u8 -1 => -ERR bit offset is not an integer or out of range~
        BITFIELD k GET u8 #-1 => -ERR bit offset is not an integer or out of range~
        BITFIELD k GET u8 4294967296 => -ERR bit offset is not an integer or out of range~
        BITFIELD k GET u8 #9223372036854775807 => -ERR bit offset is not an integer or out of range~
        BITFIELD k SET u8 0 x => -ERR value is not an integer or out of range~
        BITFIELD k OVERFLOW BLAH => -ERR Invalid OVERFLOW type specified~
        BITFIELD k BLAH u8 0 => -ERR syntax error~
        RPUSH l a => :1~
        BITFIELD l GET u8 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BITFIELD l SET u8 0 1 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        BITFIELD_RO l GET u8 0 => -WRONGTYPE Operation against a key holding the wrong kind of value~
        COMMAND GETKEYSANDFLAGS BITFIELD k GET u8 0 => *1~*2~$1~k~*2~+RO~+access~ => *1~*2~$1~k~~2~+RO~+access~
        COMMAND GETKEYSANDFLAGS BITFIELD k SET u8 0 1 => *1~*2~$1~k~*3~+RW~+access~+update~ => *1~*2~$1~k~~3~+RW~+access~+update~
        "#,
    );
}
