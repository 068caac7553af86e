//! All data of two servers, compared: what a differential sequence left behind.

use crate::harness::*;

/// Databases that the sequences use.
const DATABASES: [&str; 2] = ["0", "1"];

/// Judges two replies to the same command; an error says how they differ.
pub type Judge<'a> = dyn FnMut(&[String], &Value, &Value) -> Result<(), String> + 'a;

/// Compares keys, types, remaining times and whole contents of both servers.
pub fn compare_data(ours: &mut Client, theirs: &mut Client, judge: &mut Judge<'_>) -> Result<(), String> {
    for database in DATABASES {
        let mut both = |words: &[&str], judge: &mut Judge<'_>| -> Result<Value, String> {
            let (our_reply, their_reply) = (ours.call(words), theirs.call(words));
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            judge(&words, &our_reply, &their_reply)?;
            Ok(our_reply)
        };
        both(&["SELECT", database], judge)?;
        let keys = both(&["KEYS", "*"], judge)?;
        for key in keys.items().iter().map(Value::text) {
            let kind = both(&["TYPE", &key], judge)?.text();
            both(&["OBJECT", "ENCODING", &key], judge)?;
            both(&["PTTL", &key], judge)?;
            match kind.as_str() {
                "string" => both(&["GET", &key], judge)?,
                "list" => both(&["LRANGE", &key, "0", "-1"], judge)?,
                "set" => both(&["SMEMBERS", &key], judge)?,
                "hash" => both(&["HGETALL", &key], judge)?,
                "zset" => both(&["ZRANGE", &key, "0", "-1", "WITHSCORES"], judge)?,
                "stream" => {
                    both(&["XRANGE", &key, "-", "+"], judge)?;
                    both(&["XINFO", "GROUPS", &key], &mut groups_judge(judge))?;
                    let groups = both(&["XINFO", "GROUPS", &key], &mut |_, _, _| Ok(()))?;
                    for group in groups.items() {
                        both(&["XPENDING", &key, &group.items()[1].text()], judge)?;
                    }
                    both(&["XINFO", "STREAM", &key], &mut stream_judge(judge))?
                }
                other => panic!("a key of type {other}"),
            };
        }
    }
    Ok(())
}

/// Groups without how many consumers they have, which XAUTOCLAIM makes in one version and not in the other.
fn groups_judge<'a>(
    judge: &'a mut Judge<'_>,
) -> impl FnMut(&[String], &Value, &Value) -> Result<(), String> + 'a {
    |words, ours, theirs| {
        let shown = |groups: &Value| {
            let groups = groups.items().iter().map(|group| without_fields(group, &["consumers"])).collect();
            Value::Array(groups)
        };
        judge(words, &shown(ours), &shown(theirs))
    }
}

/// A stream's figures without those of how it is laid out in memory.
fn stream_judge<'a>(
    judge: &'a mut Judge<'_>,
) -> impl FnMut(&[String], &Value, &Value) -> Result<(), String> + 'a {
    |words, ours, theirs| {
        // Those of idempotent producers are not shown here for a stream that has had none.
        let left_out = [
            "radix-tree-keys",
            "radix-tree-nodes",
            "idmp-duration",
            "idmp-maxsize",
            "pids-tracked",
            "iids-tracked",
            "iids-added",
            "iids-duplicates",
        ];
        let shown = |stream: &Value| without_fields(stream, &left_out);
        judge(words, &shown(ours), &shown(theirs))
    }
}

fn without_fields(pairs: &Value, left_out: &[&str]) -> Value {
    let items = pairs.items();
    let kept = items.chunks(2).filter(|pair| !left_out.contains(&pair[0].text().as_str()));
    Value::Array(kept.flatten().cloned().collect())
}
