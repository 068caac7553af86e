//! A group whose consumers crash: whatever is lost on the way, no entry is.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::*;

const CONSUMERS: usize = 10;
/// Fewer where the server is built without optimizations.
const MESSAGES: usize = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn one_in(&mut self, sides: u64) -> bool {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.is_multiple_of(sides)
    }
}

/// One member of the group, under another name after each crash.
struct Consumer<'s> {
    server: &'s TestServer,
    client: Client,
    number: usize,
    lives: usize,
    dice: Dice,
    /// The messages whose acknowledgement was sent, by their number.
    done: Vec<usize>,
    /// How many of them the server said were pending until then.
    acknowledged: usize,
}

impl<'s> Consumer<'s> {
    fn new(server: &'s TestServer, number: usize) -> Self {
        let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ number as u64);
        Self { server, client: server.client(), number, lives: 1, dice, done: Vec::new(), acknowledged: 0 }
    }

    fn name(&self) -> String {
        format!("consumer-{}-{}", self.number, self.lives)
    }

    fn crash(&mut self) {
        self.client = self.server.client();
        self.lives += 1;
    }

    /// Messages as ids and numbers: new ones, or else some that others left behind.
    fn next(&mut self) -> Vec<(String, usize)> {
        let name = self.name();
        let read = ["XREADGROUP", "GROUP", "g", &name, "COUNT", "50", "STREAMS", "s", ">"];
        let entries = match self.client.call(&read) {
            Value::NullArray => {
                self.client.call(&["XAUTOCLAIM", "s", "g", &name, "0", "0"]).items()[1].items()
            }
            streams => streams.items()[0].items()[1].items(),
        };
        let message = |entry: &Value| {
            let parts = entry.items();
            (parts[0].text(), parts[1].texts()[1].parse().expect("a number"))
        };
        entries.iter().map(message).collect()
    }

    /// Works until nothing is left. Crashes before, while and after it acknowledges.
    fn work(mut self) -> (Vec<usize>, usize, usize) {
        loop {
            let messages = self.next();
            if messages.is_empty() {
                let group = &self.client.value("XINFO GROUPS s").items()[0];
                if group.field("entries-read") == Value::Int(MESSAGES as i64)
                    && group.field("pending").int() == 0
                {
                    return (self.done, self.lives, self.acknowledged);
                }
                continue;
            }
            if self.dice.one_in(20) {
                self.crash();
                continue;
            }
            let some = if self.dice.one_in(10) { messages.len().div_ceil(2) } else { messages.len() };
            let mut acknowledge = vec!["XACK", "s", "g"];
            acknowledge.extend(messages[..some].iter().map(|(id, _)| id.as_str()));
            self.client.send(&encode(&acknowledge));
            self.done.extend(messages[..some].iter().map(|(_, number)| number));
            if some < messages.len() || self.dice.one_in(20) {
                self.crash();
            } else {
                self.acknowledged += self.client.read().int() as usize;
            }
        }
    }
}

#[test]
fn no_entry_is_lost_when_consumers_crash() {
    let server = TestServer::start();
    let mut producer = server.client();
    producer.check("XGROUP CREATE s g $ MKSTREAM", "+OK~");
    let crashes = AtomicUsize::new(0);
    let acknowledged = AtomicUsize::new(0);
    let work = |number| {
        let (done, lives, count) = Consumer::new(&server, number).work();
        crashes.fetch_add(lives - 1, Ordering::Relaxed);
        acknowledged.fetch_add(count, Ordering::Relaxed);
        done
    };
    let done: Vec<Vec<usize>> = std::thread::scope(|scope| {
        let work = &work;
        let consumers: Vec<_> = (0..CONSUMERS).map(|number| scope.spawn(move || work(number))).collect();
        let numbers: Vec<usize> = (0..MESSAGES).collect();
        for some in numbers.chunks(500) {
            for number in some {
                producer.send(&encode(&["XADD", "s", "*", "number", &number.to_string(), "kind", "order"]));
            }
            some.iter().for_each(|_| assert!(matches!(producer.read(), Value::Bulk(_))));
        }
        consumers.into_iter().map(|consumer| consumer.join().expect("it ends")).collect()
    });
    let all: HashSet<usize> = done.iter().flatten().copied().collect();
    assert_eq!(all.len(), MESSAGES, "each message was acknowledged");
    assert!(acknowledged.into_inner() <= MESSAGES, "an acknowledgement counts once");
    assert!(crashes.into_inner() > CONSUMERS, "consumers crashed");
    producer.check("XLEN s", &format!(":{MESSAGES}~"));
    producer.check("XPENDING s g", "*4~:0~$-1~$-1~*-1~");
    let group = producer.value("XINFO GROUPS s").items()[0].clone();
    assert_eq!(group.field("lag").int(), 0);
    for consumer in producer.value("XINFO CONSUMERS s g").items() {
        assert_eq!(consumer.field("pending").int(), 0);
    }
}
