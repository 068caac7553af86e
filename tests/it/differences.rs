//! Where Kvarts and the servers it is compared with are known to differ, each with the reason: Redis 7.0, and
//! Redis 8 and Valkey 9 for what that has not.

use crate::harness::Value;

/// One known difference.
pub struct Difference {
    /// The group of sequences whose fixed seeds are sure to meet it; where they do not the test fails. Empty:
    /// chance. [`NEWER`]: chance, and with Redis 8 and Valkey 9 alone.
    pub group: &'static str,
    /// Why it is right to differ.
    pub reason: &'static str,
    /// Whether these two replies to a command (words in capitals) differ only by it: ours, then the other's.
    pub explains: fn(&[String], &Value, &Value) -> bool,
}

/// Group of the differences from Redis 8 and Valkey 9 that 7.0 does not have.
pub const NEWER: &str = "newer";

fn is_error(value: &Value, beginning: &str) -> bool {
    matches!(value, Value::Error(text) if text.starts_with(beginning))
}

fn sorted(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) | Value::Set(items) => {
            let mut texts: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
            texts.sort();
            Some(texts)
        }
        Value::Map(pairs) => {
            let mut texts: Vec<String> = pairs.iter().map(|pair| format!("{pair:?}")).collect();
            texts.sort();
            Some(texts)
        }
        _ => None,
    }
}

fn sorted_pairs(value: &Value) -> Option<Vec<String>> {
    let Value::Array(items) = value else { return None };
    let mut texts: Vec<String> = items.chunks(2).map(|pair| format!("{pair:?}")).collect();
    texts.sort();
    Some(texts)
}

/// Whether two replies are the same, but for how a floating point number is written.
fn same_numbers(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().zip(theirs).all(|(ours, theirs)| same_numbers(ours, theirs))
        }
        (Value::Bulk(_), Value::Bulk(_)) | (Value::Double(_), Value::Double(_)) => {
            let (ours, theirs) = (ours.text(), theirs.text());
            let numbers = (ours.parse::<f64>(), theirs.parse::<f64>());
            ours == theirs || matches!(numbers, (Ok(ours), Ok(theirs)) if ours == theirs)
        }
        _ => ours == theirs,
    }
}

/// Whether two replies of XINFO GROUPS are the same, but for lags that are null or more in ours and 0 in the other.
fn same_but_for_lags(ours: &Value, theirs: &Value) -> bool {
    let (Value::Array(ours), Value::Array(theirs)) = (ours, theirs) else { return false };
    let same_field = |(ours, theirs): (&[Value], &[Value])| match (ours, theirs) {
        ([name, Value::Null | Value::Int(1..)], [other, Value::Int(0)]) => {
            name == other && name.text() == "lag"
        }
        _ => ours == theirs,
    };
    let same_group = |(ours, theirs): (&Value, &Value)| {
        let (ours, theirs) = (ours.items(), theirs.items());
        ours.len() == theirs.len() && ours.chunks(2).zip(theirs.chunks(2)).all(same_field)
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(same_group)
}

/// Whether a command may do to the data of one server what it does not to the other's, for one of the reasons
/// below. It is sent by itself, and where the replies differ both servers forget its key.
pub fn sets_data_apart(words: &[String]) -> bool {
    let has = |word: &str| words.iter().any(|other| other.eq_ignore_ascii_case(word));
    match words[0].to_ascii_uppercase().as_str() {
        "SET" => has("IFEQ"),
        "ZADD" | "ZINCRBY" => has("0x10"),
        "DELIFEQ" | "XSETID" => true,
        "LREM" => has("-9223372036854775808"),
        // Wrong by its number of words in 7.0: in a transaction it would be refused before EXEC.
        "ZRANK" | "ZREVRANK" => has("WITHSCORE"),
        _ => false,
    }
}

/// All of them.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        group: "",
        reason: "the servers get a command at different moments, so remaining times differ by what passed between",
        explains: |words, ours, theirs| match (ours, theirs) {
            (&Value::Int(ours), &Value::Int(theirs)) => {
                let slack = if words[0].starts_with('P') { 60_000 } else { 60 };
                let tells_time = ["TTL", "EXPIRETIME"].iter().any(|end| words[0].ends_with(end));
                tells_time && ours >= 0 && theirs >= 0 && (ours - theirs).abs() < slack
            }
            _ => false,
        },
    },
    Difference {
        group: "set",
        reason: "the order of members, fields and keys is nobody's promise",
        explains: |words, ours, theirs| match words[0].as_str() {
            "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HVALS" | "KEYS" => {
                sorted(ours).is_some() && sorted(ours) == sorted(theirs)
            }
            "HGETALL" => match ours {
                Value::Array(_) => sorted_pairs(ours) == sorted_pairs(theirs),
                _ => sorted(ours).is_some() && sorted(ours) == sorted(theirs),
            },
            _ => false,
        },
    },
    Difference {
        group: "set",
        reason: "OBJECT ENCODING: 7.0 has no listpack sets",
        explains: |words, ours, theirs| {
            words.starts_with(&["OBJECT".into(), "ENCODING".into()])
                && ours.text() == "listpack"
                && theirs.text() == "hashtable"
        },
    },
    Difference {
        group: "list",
        reason: "OBJECT ENCODING: 7.0 has no listpack lists",
        explains: |words, ours, theirs| {
            words.starts_with(&["OBJECT".into(), "ENCODING".into()])
                && ours.text() == "listpack"
                && theirs.text() == "quicklist"
        },
    },
    Difference {
        group: "sorted set",
        reason: "OBJECT ENCODING: Valkey 9 chooses by what ZADD XX names, 7.0 by what it adds; SORT BY nosort makes a skiplist there",
        explains: |words, ours, theirs| {
            words.starts_with(&["OBJECT".into(), "ENCODING".into()])
                && ["listpack", "skiplist"].contains(&ours.text().as_str())
                && ["listpack", "skiplist"].contains(&theirs.text().as_str())
        },
    },
    Difference {
        group: "stream",
        reason: "XAUTOCLAIM that claims nothing makes its consumer since Redis 7.2, so it is there already",
        explains: |words, ours, theirs| {
            words.starts_with(&["XGROUP".into(), "CREATECONSUMER".into()])
                && *ours == Value::Int(0)
                && *theirs == Value::Int(1)
        },
    },
    Difference {
        group: "string",
        reason: "SET IFEQ and DELIFEQ came with Valkey 8.1 and 9.0",
        explains: |words, _, theirs| {
            (words[0] == "SET"
                && words.iter().any(|word| word == "IFEQ")
                && is_error(theirs, "ERR syntax error"))
                || (words[0] == "DELIFEQ" && is_error(theirs, "ERR unknown command"))
        },
    },
    Difference {
        group: "list",
        reason: "of several wrong options of LPOS, 7.0 names another one first",
        explains: |words, ours, theirs| {
            words[0] == "LPOS" && is_error(ours, "ERR") && is_error(theirs, "ERR")
        },
    },
    Difference {
        group: "list",
        reason: "Valkey refuses the smallest number as LREM's count, whose negative is none; 7.0 takes it",
        explains: |words, ours, _| {
            words[0] == "LREM" && is_error(ours, "ERR value is out of range, value must between")
        },
    },
    Difference {
        group: "list",
        reason: "Redis 7.2 refuses the smallest number as LPOS's RANK; 7.0 takes it",
        explains: |words, ours, _| {
            words[0] == "LPOS" && is_error(ours, "ERR value is out of range, value must between")
        },
    },
    Difference {
        group: "sorted set",
        reason: "ZRANK and ZREVRANK know WITHSCORE since Redis 7.2",
        explains: |words, _, theirs| {
            words[0].ends_with("RANK")
                && words.len() == 4
                && is_error(theirs, "ERR wrong number of arguments")
        },
    },
    Difference {
        group: "sorted set",
        reason: "7.0 writes scores with 17 digits, Redis 7.2 and later the shortest text of the same number",
        explains: |words, ours, theirs| words[0].starts_with('Z') && same_numbers(ours, theirs),
    },
    Difference {
        group: "sorted set",
        reason: "hexadecimal scores are numbers to 7.0 and not to Valkey 9",
        explains: |words, ours, _| {
            words[0].starts_with('Z')
                && words.iter().any(|word| word == "0X10")
                && is_error(ours, "ERR value is not a valid float")
        },
    },
    Difference {
        group: "bitmap",
        reason: "Valkey 9 looks at BITCOUNT's and BITPOS's arguments before it looks for the key, and at the last of them first",
        explains: |words, ours, theirs| {
            ["BITCOUNT", "BITPOS"].contains(&words[0].as_str())
                && is_error(ours, "ERR")
                && (matches!(theirs, Value::Int(0 | -1)) || matches!(theirs, Value::Error(_)))
        },
    },
    Difference {
        group: "bitmap",
        reason: "BITCOUNT takes a start without an end since Valkey 8.1",
        explains: |words, _, theirs| {
            words[0] == "BITCOUNT" && words.len() == 3 && is_error(theirs, "ERR syntax error")
        },
    },
    Difference {
        group: "sort",
        reason: "the order of elements whose texts to sort by are equal is nobody's promise",
        explains: |words, ours, theirs| {
            let has = |option: &str| words.iter().any(|word| word == option);
            words[0].starts_with("SORT")
                && has("BY")
                && has("ALPHA")
                && sorted(ours).is_some()
                && sorted(ours) == sorted(theirs)
        },
    },
    Difference {
        group: "geo",
        reason: "Valkey 9 names the member that GEOSEARCH and its kin do not find",
        explains: |words, ours, theirs| {
            words[0].starts_with("GEO")
                && is_error(ours, "ERR member ")
                && is_error(theirs, "ERR could not decode requested zset member")
        },
    },
    Difference {
        group: "sort",
        reason: "SORT: the empty string, white space before a number and hexadecimal ones are numbers to 7.0 and not to Valkey 9",
        explains: |words, ours, theirs| {
            words[0].starts_with("SORT")
                && !words.iter().any(|word| word == "STORE")
                && is_error(ours, "ERR One or more scores can't be converted into double")
                && matches!(theirs, Value::Array(_))
        },
    },
    Difference {
        group: "string",
        reason: "Valkey 9 reads GETEX's time before it looks at the key",
        explains: |words, ours, theirs| {
            words[0] == "GETEX"
                && matches!(ours, Value::Error(_))
                && (*theirs == Value::Null || is_error(theirs, "WRONGTYPE"))
        },
    },
    Difference {
        group: "stream",
        reason: "XSETID: Valkey 9 looks at the largest deleted id before it looks at the top item, 7.0 at the latter alone",
        explains: |words, ours, theirs| {
            words[0] == "XSETID"
                && is_error(
                    ours,
                    "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
                )
                && (*theirs == Value::Simple("OK".into())
                    || is_error(theirs, "ERR The ID specified in XSETID is smaller than the target stream"))
        },
    },
    Difference {
        group: NEWER,
        reason: "XINFO GROUPS: the lag of a group of an emptied stream is what it has not read in Valkey 9, unknown where it stands above the last id, and 0 in Redis 8.6",
        explains: |words, ours, theirs| {
            words.starts_with(&["XINFO".into(), "GROUPS".into()]) && same_but_for_lags(ours, theirs)
        },
    },
    Difference {
        group: NEWER,
        reason: "MSETEX: Redis 8.6 has other words than Valkey 9 for a number of keys that is none, and for too few pairs",
        explains: |words, ours, theirs| {
            words[0] == "MSETEX"
                && (is_error(ours, "ERR invalid numkeys value")
                    && is_error(theirs, "ERR invalid numkeys value")
                    || is_error(ours, "ERR syntax error")
                        && is_error(theirs, "ERR wrong number of key-value pairs"))
        },
    },
    Difference {
        group: NEWER,
        reason: "OBJECT ENCODING: up to which length a string is embedded follows from the objects' headers: 44 bytes here and in Redis for long, fewer in Redis 8.6, more in Valkey 9",
        explains: |words, ours, theirs| {
            words.starts_with(&["OBJECT".into(), "ENCODING".into()])
                && ["embstr", "raw"].contains(&ours.text().as_str())
                && ["embstr", "raw"].contains(&theirs.text().as_str())
        },
    },
];
