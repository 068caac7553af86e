//! Random commands for the differential tests: few keys and members, so that they meet; values of every kind.

/// Words for commands: few keys and members, so that they meet; values of every kind.
pub struct Words(pub fastrand::Rng);

impl Words {
    pub fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.0.usize(..choices.len())]
    }

    pub fn key(&mut self) -> String {
        format!("k{}", self.0.u8(..8))
    }

    pub fn member(&mut self) -> String {
        match self.0.u8(..8) {
            0..=2 => self.0.u8(..12).to_string(),
            3..=5 => format!("m{}", self.0.u8(..12)),
            6 => (self.0.i64(-3..3) * 3_000_000_000_000_000_000).to_string(),
            _ => "long".repeat(self.0.usize(1..30)),
        }
    }

    pub fn value(&mut self) -> String {
        match self.0.u8(..10) {
            0..=2 => self.0.i64(-20..20).to_string(),
            3 => self
                .of(&[
                    "9223372036854775807",
                    "-9223372036854775808",
                    "9223372036854775808",
                    "01",
                    "-0",
                    "+1",
                    " 1",
                ])
                .into(),
            4 => self.of(&["1.5", "-0.25", "3e2", "1e400", "nan", "inf", "0x10", "3.0"]).into(),
            5 => String::new(),
            6 => "v".repeat(self.0.usize(1..200)),
            _ => self.of(&["abc", "hello world", "a\r\nb", "ohmytext", "mynewtext"]).into(),
        }
    }

    fn number(&mut self) -> String {
        match self.0.u8(..8) {
            0 => self
                .of(&["x", "1.5", "", "9223372036854775807", "-9223372036854775808", "9223372036854775808"])
                .into(),
            _ => self.0.i64(-12..12).to_string(),
        }
    }

    /// A digest, mostly of one of the values.
    pub fn digest(&mut self) -> String {
        let value = self.value();
        let digest = format!("{:016x}", twox_hash::XxHash3_64::oneshot(value.as_bytes()));
        if self.0.bool() { digest } else { digest.to_uppercase() }
    }

    /// A time to live that none has been given before: with GT and LT it would depend on the millisecond in which each
    /// server gets the command whether an equal one is longer.
    fn new_ttl(&mut self) -> String {
        self.0.u32(3000..90_000_000).to_string()
    }

    /// A time to live that does not run out within the test.
    fn ttl(&mut self) -> String {
        self.of(&["1000", "2000", "99999", "0", "-1", "x", "9223372036854775807"]).into()
    }
}

/// Makes the words of one command.
pub type Generator = fn(&mut Words) -> Vec<String>;

/// A command's words from a line, where `K` is a key, `M` a member, `V` a value, `N` a number, `T` a time
/// to live, `U` a new one and `D` a digest.
pub fn from_line(words: &mut Words, line: &str) -> Vec<String> {
    line.split(' ')
        .map(|word| match word {
            "K" => words.key(),
            "M" => words.member(),
            "V" => words.value(),
            "N" => words.number(),
            "T" => words.ttl(),
            "U" => words.new_ttl(),
            "D" => words.digest(),
            other => other.to_owned(),
        })
        .collect()
}

pub fn string(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "SET K V",
        "SET K V NX",
        "SET K V XX",
        "SET K V GET",
        "SET K V NX GET",
        "SET K V XX GET",
        "SET K V KEEPTTL",
        "SET K V EX T",
        "SET K V PX T",
        "SET K V EX T NX",
        "SET K V EX T KEEPTTL",
        "SET K V NX XX",
        "SET K V IFEQ V",
        "GET K",
        "GETSET K V",
        "GETDEL K",
        "GETEX K",
        "GETEX K EX T",
        "GETEX K PERSIST",
        "GETEX K EX T PERSIST",
        "SETNX K V",
        "SETEX K T V",
        "PSETEX K T V",
        "MSET K V K V",
        "MSET K V K",
        "MSETNX K V K V",
        "MGET K K K",
        "STRLEN K",
        "GETRANGE K N N",
        "SUBSTR K N N",
        "SETRANGE K 3 V",
        "SETRANGE K -1 V",
        "SETRANGE K x V",
        "APPEND K V",
        "INCR K",
        "DECR K",
        "INCRBY K N",
        "DECRBY K N",
        "INCRBYFLOAT K V",
        "INCRBYFLOAT K N",
        "LCS K K",
        "LCS K K LEN",
        "LCS K K IDX",
        "LCS K K IDX MINMATCHLEN 2 WITHMATCHLEN",
        "TTL K",
        "OBJECT ENCODING K",
        "OBJECT FREQ K",
        "TYPE K",
        "DEL K",
        "SADD K M",
        "SETBIT K 7 1",
        "GETBIT K 9",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

pub fn generic(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "SET K V",
        "SADD K M M",
        "HSET K M V",
        "DEL K K",
        "UNLINK K K",
        "EXISTS K K K",
        "TOUCH K K",
        "TYPE K",
        "RENAME K K",
        "RENAMENX K K",
        "COPY K K",
        "COPY K K REPLACE",
        "COPY K K DB 1",
        "COPY K K DB 1 REPLACE",
        "COPY K K DB 99",
        "COPY K K BLAH",
        "MOVE K 1",
        "MOVE K 0",
        "MOVE K 99",
        "MOVE K x",
        "SELECT 0",
        "SELECT 1",
        "SELECT 99",
        "SWAPDB 0 1",
        "DBSIZE",
        "KEYS *",
        "KEYS k[1-3]",
        "KEYS *7",
        "FLUSHDB",
        "EXPIRE K T",
        "PEXPIRE K 99999999",
        "EXPIRE K T NX",
        "EXPIRE K T XX",
        "EXPIRE K U GT",
        "EXPIRE K U LT",
        "EXPIRE K U XX GT",
        "EXPIRE K U NX GT",
        "EXPIRE K U GT LT",
        "EXPIRE K T BLAH",
        "EXPIREAT K 99999999999",
        "PEXPIREAT K 99999999999999",
        "PEXPIREAT K -1",
        "EXPIREAT K x",
        "EXPIRETIME K",
        "TTL K",
        "PERSIST K",
        "OBJECT ENCODING K",
        "OBJECT FREQ K",
        "OBJECT REFCOUNT none",
        "SCAN x",
        "SCAN 0 COUNT 0",
        "GET K",
        "SCARD K",
        "HLEN K",
        "RANDOMKEY x",
        "BLAH K",
        "GET",
        "RENAME K",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

pub fn set(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "SADD K M",
        "SADD K M M M",
        "SADD K M M M M M",
        "SREM K M",
        "SREM K M M",
        "SISMEMBER K M",
        "SMISMEMBER K M M",
        "SMEMBERS K",
        "SCARD K",
        "SMOVE K K M",
        "SPOP K 0",
        "SPOP K -1",
        "SPOP K x",
        "SPOP K 1000",
        "SRANDMEMBER K 1000",
        "SRANDMEMBER K 0",
        "SRANDMEMBER K x",
        "SINTER K K",
        "SINTER K K K",
        "SUNION K K",
        "SDIFF K K",
        "SDIFF K K K",
        "SINTERCARD 2 K K",
        "SINTERCARD 2 K K LIMIT N",
        "SINTERCARD N K K",
        "SINTERSTORE K K K",
        "SUNIONSTORE K K K",
        "SDIFFSTORE K K K",
        "SSCAN none 0",
        "SSCAN K x",
        "SET K V",
        "DEL K",
        "TYPE K",
        "OBJECT ENCODING K",
        "EXISTS K",
        "EXPIRE K 1000",
        "TTL K",
        "COPY K K REPLACE",
        "RENAME K K",
    ];
    let line = words.of(LINES);
    let mut made = from_line(words, line);
    if ["SPOP", "SRANDMEMBER"].contains(&made[0].as_str()) && made[2] == "1000" {
        // Which members come first is chance: asked for all of them, both have the same ones, which SMEMBERS
        // compares.
        made = vec!["SMEMBERS".into(), made.swap_remove(1)];
    }
    made
}

pub fn hash(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "HSET K M V",
        "HSET K M V M V M V",
        "HSET K M V M",
        "HMSET K M V M V",
        "HSETNX K M V",
        "HGET K M",
        "HMGET K M M",
        "HGETALL K",
        "HDEL K M",
        "HDEL K M M M",
        "HEXISTS K M",
        "HLEN K",
        "HKEYS K",
        "HVALS K",
        "HSTRLEN K M",
        "HINCRBY K M N",
        "HINCRBY K M V",
        "HINCRBYFLOAT K M V",
        "HINCRBYFLOAT K M N",
        "HRANDFIELD K 0",
        "HRANDFIELD K x",
        "HRANDFIELD none 5 WITHVALUES",
        "HSCAN none 0",
        "HSCAN K x",
        "SET K V",
        "DEL K",
        "TYPE K",
        "OBJECT ENCODING K",
        "EXPIRE K 1000",
        "TTL K",
        "COPY K K REPLACE",
        "RENAME K K",
        "HSET K",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

pub fn list(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "RPUSH K V",
        "LPUSH K V V",
        "RPUSH K M M M",
        "LPUSHX K V",
        "RPUSHX K V",
        "LPOP K",
        "RPOP K",
        "LPOP K N",
        "RPOP K N",
        "LLEN K",
        "LRANGE K 0 -1",
        "LRANGE K N N",
        "LINDEX K N",
        "LSET K N V",
        "LINSERT K BEFORE M V",
        "LINSERT K AFTER M V",
        "LINSERT K BLAH M V",
        "LREM K N M",
        "LREM K 0 M",
        "LTRIM K N N",
        "LTRIM K 0 20",
        "LPOS K M",
        "LPOS K M RANK N",
        "LPOS K M COUNT N",
        "LPOS K M RANK N COUNT N MAXLEN N",
        "LMOVE K K LEFT RIGHT",
        "LMOVE K K RIGHT RIGHT",
        "LMOVE K K BLAH LEFT",
        "RPOPLPUSH K K",
        "LMPOP 2 K K LEFT",
        "LMPOP 1 K RIGHT COUNT N",
        "LMPOP N K LEFT",
        "SET K V",
        "DEL K",
        "TYPE K",
        "COPY K K REPLACE",
        "RENAME K K",
        "EXPIRE K 1000",
        "TTL K",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

pub fn sorted_set(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "ZADD K N M",
        "ZADD K N M N M N M",
        "ZADD K V M",
        "ZADD K NX N M",
        "ZADD K XX N M",
        "ZADD K GT CH N M",
        "ZADD K LT CH N M",
        "ZADD K INCR N M",
        "ZADD K NX GT N M",
        "ZADD K N",
        // Lexical ranges mean something only where all scores are the same.
        "ZADD lex 0 M 0 M",
        "ZREM K M M",
        "ZCARD K",
        "ZSCORE K M",
        "ZMSCORE K M M",
        "ZINCRBY K N M",
        "ZINCRBY K V M",
        "ZRANK K M",
        "ZREVRANK K M",
        "ZRANK K M WITHSCORE",
        "ZCOUNT K N N",
        "ZCOUNT K (3 +inf",
        "ZLEXCOUNT lex - +",
        "ZLEXCOUNT lex [m1 (m5",
        "ZRANGE K N N",
        "ZRANGE K 0 -1 WITHSCORES",
        "ZRANGE K N N REV",
        "ZRANGE K -5 5 BYSCORE LIMIT 1 3",
        "ZRANGE K 5 -5 BYSCORE REV WITHSCORES",
        "ZRANGE K 0 -1 LIMIT 0 1",
        "ZREVRANGE K N N WITHSCORES",
        "ZRANGEBYSCORE K -inf +inf WITHSCORES LIMIT 1 2",
        "ZRANGEBYSCORE K N N",
        "ZREVRANGEBYSCORE K +inf -inf",
        "ZRANGEBYLEX lex - +",
        "ZRANGEBYLEX lex [m1 (m5 LIMIT 0 2",
        "ZREVRANGEBYLEX lex + -",
        "ZRANGESTORE K K N N",
        "ZUNION 2 K K WITHSCORES",
        "ZUNIONSTORE K 2 K K",
        "ZUNIONSTORE K 2 K K WEIGHTS 2 -1 AGGREGATE MAX",
        "ZINTER 2 K K WITHSCORES",
        "ZINTERSTORE K 2 K K AGGREGATE MIN",
        "ZINTERCARD 2 K K LIMIT N",
        "ZDIFF 2 K K WITHSCORES",
        "ZDIFFSTORE K 2 K K",
        "ZPOPMIN K",
        "ZPOPMAX K N",
        "ZMPOP 2 K K MIN",
        "ZMPOP 1 K MAX COUNT N",
        "ZREMRANGEBYRANK K N N",
        "ZREMRANGEBYSCORE K N N",
        "ZREMRANGEBYLEX lex [m1 (m3",
        "SADD K M",
        "SET K V",
        "DEL K",
        "TYPE K",
        "OBJECT ENCODING K",
        "COPY K K REPLACE",
        "RENAME K K",
    ];
    let line = words.of(LINES);
    from_line(words, line)
}

pub fn bitmap(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "SETBIT K B 1",
        "SETBIT K B 0",
        "SETBIT K B x",
        "SETBIT K -1 1",
        "SETBIT K 4294967296 1",
        "GETBIT K B",
        "GETBIT K x",
        "BITCOUNT K",
        "BITCOUNT K N N",
        "BITCOUNT K N N BIT",
        "BITCOUNT K N",
        "BITCOUNT K N N BLAH",
        "BITPOS K 1",
        "BITPOS K 0",
        "BITPOS K 2",
        "BITPOS K 1 N",
        "BITPOS K 0 N N",
        "BITPOS K 1 N N BIT",
        "BITPOS K 0 N N BYTE",
        "BITOP AND K K K",
        "BITOP OR K K K",
        "BITOP XOR K K K K",
        "BITOP NOT K K",
        "BITOP NOT K K K",
        "BITOP BLAH K K",
        "BITFIELD K GET F B",
        "BITFIELD K SET F B N",
        "BITFIELD K SET F #3 V",
        "BITFIELD K INCRBY F B N",
        "BITFIELD K OVERFLOW SAT INCRBY F B L",
        "BITFIELD K OVERFLOW FAIL INCRBY F B L GET F B",
        "BITFIELD K OVERFLOW WRAP INCRBY F B L",
        "BITFIELD K OVERFLOW SAT SET F B L",
        "BITFIELD K OVERFLOW BLAH SET F B 1",
        "BITFIELD K GET F B SET F B N INCRBY F B N",
        "BITFIELD K GET u64 0",
        "BITFIELD K GET i65 0",
        "BITFIELD K SET F",
        "BITFIELD_RO K GET F B",
        "BITFIELD_RO K SET F B 1",
        "APPEND K V",
        "STRLEN K",
        "GET K",
        "DEL K",
        "SADD K M",
        "OBJECT ENCODING K",
    ];
    let line = words.of(LINES);
    let line: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "B" => words.0.u8(..100).to_string(),
            "F" => words.of(&["u1", "i1", "u8", "i8", "u5", "i13", "u63", "i64", "i63", "u32"]).into(),
            "L" => words
                .of(&[
                    "9223372036854775807",
                    "-9223372036854775808",
                    "-9223372036854775807",
                    "-1",
                    "1",
                    "300",
                ])
                .into(),
            other => other.to_owned(),
        })
        .collect();
    from_line(words, &line.join(" "))
}

pub fn hyperloglog(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "PFADD K",
        "PFADD K M",
        "PFADD K M V M",
        "PFADD K E E E E E E E E",
        "PFADD K E E E E E E E E E E E E E E E E",
        "PFCOUNT K",
        "PFCOUNT K K",
        "PFCOUNT K K K",
        "PFMERGE K",
        "PFMERGE K K",
        "PFMERGE K K K",
        "PFDEBUG ENCODING K",
        "PFDEBUG TODENSE K",
        "STRLEN K",
        "GET K",
        "COPY K K REPLACE",
        "DEL K",
        "SADD K M",
        "SET K V",
        "TYPE K",
    ];
    let line = words.of(LINES);
    let line: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "E" => words.0.u16(..).to_string(),
            other => other.to_owned(),
        })
        .collect();
    from_line(words, &line.join(" "))
}

pub fn geo(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "GEOADD K P M",
        "GEOADD K P M P M P M",
        "GEOADD K NX P M",
        "GEOADD K XX CH P M",
        "GEOADD K CH P M P M",
        "GEOADD K NX XX P M",
        "GEOADD K 181 0 M",
        "GEOADD K x 0 M",
        "GEOADD K P",
        "GEOPOS K M M",
        "GEOHASH K M M",
        "GEODIST K M M",
        "GEODIST K M M km",
        "GEODIST K M M blah",
        "GEOSEARCH K FROMLONLAT P BYRADIUS R km ASC",
        "GEOSEARCH K FROMLONLAT P BYRADIUS R km DESC WITHCOORD WITHDIST WITHHASH",
        "GEOSEARCH K FROMLONLAT P BYBOX R R km ASC COUNT 3",
        "GEOSEARCH K FROMMEMBER M BYRADIUS R mi ASC WITHDIST",
        "GEOSEARCH K FROMMEMBER M BYBOX R 200 ft ASC",
        "GEOSEARCH K FROMMEMBER M BYRADIUS R km ASC COUNT N",
        "GEOSEARCH K BYRADIUS R km",
        "GEOSEARCH K FROMLONLAT P",
        "GEOSEARCH K FROMLONLAT P BYRADIUS R km ANY",
        "GEOSEARCHSTORE K K FROMLONLAT P BYRADIUS R km",
        "GEOSEARCHSTORE K K FROMMEMBER M BYBOX R R km STOREDIST",
        "GEORADIUS K P R km ASC WITHDIST",
        "GEORADIUS K P R km STORE K",
        "GEORADIUS K P R km WITHDIST STORE K",
        "GEORADIUS_RO K P R m DESC",
        "GEORADIUSBYMEMBER K M R km ASC COUNT 2",
        "GEORADIUSBYMEMBER_RO K M R km ASC WITHHASH",
        "ZRANGE K 0 -1 WITHSCORES",
        "ZREM K M",
        "ZSCORE K M",
        "SET K V",
        "DEL K",
        "TYPE K",
    ];
    let line = words.of(LINES);
    let line: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "P" => format!(
                "{} {}",
                f64::from(words.0.i32(-180_000..180_000)) / 1e3,
                f64::from(words.0.i32(-85_000..85_000)) / 1e3
            ),
            "R" => words.of(&["0", "10", "500", "2000", "9000", "30000", "-1", "x"]).into(),
            other => other.to_owned(),
        })
        .collect();
    from_line(words, &line.join(" "))
}

pub fn sort(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "RPUSH l0 D -D M",
        "RPUSH l1 D D D D",
        "RPUSH l2 D D",
        "SADD s0 D D D",
        "SADD s1 D M",
        "ZADD z0 N D N M N D",
        "SET w_D N",
        "SET w_D W",
        "SET d_D V",
        "HSET h_D weight D name V",
        "DEL w_D",
        "DEL L",
        "SORT L",
        "SORT L ALPHA",
        "SORT L DESC",
        "SORT L ALPHA DESC LIMIT 1 3",
        "SORT L LIMIT N N",
        "SORT L BY w_* ALPHA",
        "SORT L BY w_*",
        "SORT L BY w_* GET d_* GET #",
        "SORT L BY h_*->weight GET h_*->name ALPHA",
        "SORT L BY h_*->weight GET h_*-> GET # ALPHA",
        "SORT l1 BY nosort",
        "SORT l2 BY nosort LIMIT 0 2 GET #",
        "SORT z0 BY nosort",
        "SORT z0 BY nosort DESC",
        "SORT z0 BY nosort DESC LIMIT 1 2",
        "SORT L ALPHA STORE l2",
        "SORT L STORE l1",
        "SORT l1 BY nosort GET # STORE l0",
        "SORT_RO L ALPHA",
        "SORT_RO L STORE l2",
        "SORT L BLAH",
        "SORT L LIMIT 1",
        "LRANGE l0 0 -1",
        "LRANGE l1 0 -1",
        "LRANGE l2 0 -1",
        "LTRIM l0 0 9",
        "LTRIM l1 0 9",
        "TYPE L",
    ];
    let line = words.of(LINES);
    let line: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "L" => words.of(&["l0", "l1", "l2", "s0", "s1", "z0", "none", "w_1"]).into(),
            "D" => words.0.u8(..15).to_string(),
            // None that overflows: 7.0 then takes later weights for wrong ones too.
            "W" => words.of(&["abc", "-1.5", "3e2", "inf", "0x10", "\u{20}7", "", "7"]).into(),
            "w_D" | "d_D" | "h_D" | "-D" => word.replace('D', &words.0.u8(..15).to_string()),
            other => other.to_owned(),
        })
        .collect();
    from_line(words, &line.join(" "))
}

pub fn stream(words: &mut Words) -> Vec<String> {
    const LINES: &[&str] = &[
        "XADD K I f V",
        "XADD K I f V g M",
        "XADD K MAXLEN 5 I f V",
        "XADD K MINID 3 I f V",
        "XADD K NOMKSTREAM I f V",
        "XADD K I f",
        "XADD K MAXLEN N I f V",
        "XLEN K",
        "XRANGE K - +",
        "XRANGE K I I COUNT N",
        "XRANGE K (I +",
        "XREVRANGE K + -",
        "XREVRANGE K I I",
        "XDEL K I I",
        "XTRIM K MAXLEN N",
        "XTRIM K MINID I",
        "XSETID K I",
        "XREAD STREAMS K I",
        "XREAD COUNT 2 STREAMS K K 0 $",
        "XGROUP CREATE K gr I",
        "XGROUP CREATE K gr 0 MKSTREAM",
        "XGROUP SETID K gr I",
        "XGROUP CREATECONSUMER K gr M",
        "XGROUP DELCONSUMER K gr M",
        "XGROUP DESTROY K gr",
        "XREADGROUP GROUP gr M STREAMS K >",
        "XREADGROUP GROUP gr M COUNT 1 STREAMS K >",
        "XREADGROUP GROUP gr M STREAMS K I",
        "XACK K gr I I",
        "XPENDING K gr",
        "XPENDING K gr IDLE 100000000 - + 10",
        "XCLAIM K gr M 0 I I",
        "XCLAIM K gr M 0 I FORCE JUSTID",
        "XAUTOCLAIM K gr M 0 I COUNT 2",
        "XAUTOCLAIM K gr M 100000000 0 JUSTID",
        "XINFO GROUPS none",
        "SET K V",
        "DEL K",
        "TYPE K",
        "OBJECT ENCODING K",
        "COPY K K REPLACE",
        "RENAME K K",
    ];
    let line = words.of(LINES);
    from_stream_line(words, line)
}

/// [`from_line`] for lines about streams, where `I` is an id.
pub fn from_stream_line(words: &mut Words, line: &str) -> Vec<String> {
    let mut id = || match words.0.u8(..12) {
        0 => words.of(&["x", "1-", "5", "0-0", "*-1"]).to_owned(),
        _ => format!("{}-{}", words.0.u8(..20), words.0.u8(..3)),
    };
    let line: Vec<String> = line
        .split(' ')
        .map(|word| match word {
            "I" => id(),
            "(I" => format!("({}", id()),
            other => other.to_owned(),
        })
        .collect();
    from_line(words, &line.join(" "))
}
