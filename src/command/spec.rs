//! What is known of a command without running it: names, flags, where its keys stand, how it is documented.

use smallvec::SmallVec;

use super::keys::{ForeignKeys, KeyAccess, KeySpec, MovingKeys};

/// Finds the databases that the arguments name: their numbers, and which arguments they are.
pub type NamedDatabases = fn(&[&[u8]], &mut SmallVec<[(usize, usize); 2]>);

/// Which arguments are channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// No argument is a channel that access control looks at.
    None,
    /// The argument at this index.
    At(usize),
    /// The argument at this index and all behind it.
    From(usize),
    /// The argument at this index and all behind it, which are patterns.
    Patterns(usize),
}

/// Which arguments tell what a request is about that names neither keys nor channels. None of them is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// None does.
    None,
    /// The argument at this index, which is a pattern of keys.
    Pattern(usize),
    /// The arguments from this index on, each so many behind the last one.
    Words(usize, usize),
}

/// Whether a request reaches for keys of other slots than that of the keys which its arguments name.
pub type LeavesSlot = fn(&[&[u8]]) -> bool;

/// Which of the two servers has a command, and since which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Both have it, as they came from one server.
    Both,
    /// Redis has it, since this version.
    Redis(&'static str),
    /// Valkey has it, since this version.
    Valkey(&'static str),
    /// Both have it, each since a version of its own: Redis, Valkey.
    Each(&'static str, &'static str),
    /// Neither has it.
    Kvarts,
}

impl Family {
    /// The names of the servers and their versions, as the page of commands shows them.
    pub fn shown(self) -> String {
        match self {
            Family::Both => String::new(),
            Family::Redis(since) => format!("Redis {since}"),
            Family::Valkey(since) => format!("Valkey {since}"),
            Family::Each(redis, valkey) => format!("Redis {redis}, Valkey {valkey}"),
            Family::Kvarts => "Kvarts".to_owned(),
        }
    }
}

/// Whether the argument at an index of a request is a secret.
pub type Secrets = fn(&[&[u8]], usize) -> bool;

/// What is shown of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// What is known of a command or subcommand without running it. Made from its entry
/// (`engine::command::Command`), which names its functions as well.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Lower case; of a subcommand only its own word.
    pub name: &'static str,
    /// Number of arguments with the name (and the container's name); negative: at least so many.
    pub arity: i32,
    /// What the judge, the lock plan and COMMAND INFO go by.
    pub flags: Flags,
    /// Where the keys stand. Lock plan, slot routing and COMMAND GETKEYS come from it.
    pub keys: &'static [KeySpec],
    /// Where the keys stand when that depends on the arguments: the same parser that the command uses. Wins
    /// over `keys`.
    pub moving_keys: Option<MovingKeys>,
    /// Finds what a request does with its keys, where that depends on the arguments. The key spec declares
    /// the most it may do, and locks go by the spec.
    pub key_access: Option<KeyAccess>,
    /// Keys in other databases that the command locks as well.
    pub foreign_keys: Option<ForeignKeys>,
    /// Databases that its arguments name.
    pub databases: Option<NamedDatabases>,
    /// Channels among its arguments.
    pub channels: Channels,
    /// What it is about, where it names neither keys nor channels.
    pub subject: Subject,
    /// Finds whether a request leaves its slot, by patterns of keys.
    pub leaves_slot: Option<LeavesSlot>,
    /// Index of the argument that is the first element of the collection under its key that it looks for.
    pub element: Option<usize>,
    /// Whether some requests of it have to be alone in the keyspace.
    pub may_run_alone: bool,
    /// Whether it needs locks of keys that are not among its arguments (EXEC).
    pub has_further_locks: bool,
    /// Whether clients know no subcommands of it: statistics name it as a whole, and ACL rules may name any
    /// first argument of it.
    pub is_whole: bool,
    /// ACL categories beside those that follow from the flags.
    pub categories: &'static [Category],
    /// The list in which it is documented.
    pub group: Group,
    /// One line in our own words.
    pub summary: &'static str,
    /// The arguments behind the name: `key [NX | XX] value [value ...]`. COMMAND DOCS reads it.
    pub syntax: &'static str,
    /// The version of Redis or Valkey that first had it.
    pub since: &'static str,
    /// Which of the two servers has it.
    pub family: Family,
    /// Complexity as COMMAND DOCS shows it: `O(1)`, `O(N) ...`.
    pub complexity: &'static str,
    /// Kind of reply, in a word or two.
    pub reply: &'static str,
    /// Whether the argument at an index is a secret, which no log and no monitor shows. What cannot be told
    /// apart is one.
    pub secrets: Option<Secrets>,
    /// Hints for clients and proxies: how to spread it over nodes, whether its reply is always the same.
    pub tips: &'static [&'static str],
}

impl Spec {
    /// Whether this many arguments may be given.
    #[inline]
    pub fn arity_allows(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity >= 0 { count == wanted } else { count >= wanted }
    }

    /// The argument at an index of a request as logs and monitors may show it.
    pub fn shown<'a>(&self, arguments: &[&'a [u8]], index: usize) -> &'a [u8] {
        match self.secrets {
            Some(is_secret) if is_secret(arguments, index) => REDACTED,
            _ => arguments[index],
        }
    }

    /// The categories that ACL knows it by: those of the entry and those that follow from the flags, in
    /// Redis's order.
    pub fn all_categories(&self) -> Vec<Category> {
        let flags = self.flags;
        let mut all = self.categories.to_vec();
        let mut add = |wanted: bool, category| {
            if wanted && !all.contains(&category) {
                all.push(category);
            }
        };
        add(flags.has(Flags::WRITE), Category::Write);
        add(flags.has(Flags::READONLY) && self.group != Group::Scripting, Category::Read);
        add(flags.has(Flags::ADMIN), Category::Admin);
        add(flags.has(Flags::ADMIN), Category::Dangerous);
        add(flags.has(Flags::PUBSUB), Category::Pubsub);
        add(flags.has(Flags::FAST), Category::Fast);
        add(flags.has(Flags::BLOCKING), Category::Blocking);
        add(!flags.has(Flags::FAST), Category::Slow);
        all.sort_by_key(|category| *category as u32);
        all
    }
}

/// A set of flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u64);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// Changes keys.
    pub const WRITE: Flags = Flags(1);
    /// Reads keys.
    pub const READONLY: Flags = Flags(1 << 1);
    /// Refused when memory is over its limit.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// For operators.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// Publish and subscribe.
    pub const PUBSUB: Flags = Flags(1 << 4);
    /// Not from scripts.
    pub const NOSCRIPT: Flags = Flags(1 << 5);
    /// May wait.
    pub const BLOCKING: Flags = Flags(1 << 6);
    /// Allowed while data is loaded.
    pub const LOADING: Flags = Flags(1 << 7);
    /// Allowed on a replica with old data.
    pub const STALE: Flags = Flags(1 << 8);
    /// Not shown by MONITOR.
    pub const SKIP_MONITOR: Flags = Flags(1 << 9);
    /// Not shown by COMMANDLOG and SLOWLOG.
    pub const SKIP_COMMANDLOG: Flags = Flags(1 << 10);
    /// Goes through with ASKING.
    pub const ASKING: Flags = Flags(1 << 11);
    /// Takes constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 12);
    /// Needs no authentication.
    pub const NO_AUTH: Flags = Flags(1 << 13);
    /// Allowed while a script runs too long.
    pub const ALLOW_BUSY: Flags = Flags(1 << 14);
    /// Not in a transaction.
    pub const NO_MULTI: Flags = Flags(1 << 16);
    /// Where the keys stand depends on the arguments.
    pub const MOVABLE_KEYS: Flags = Flags(1 << 17);
    /// Not while data is loaded in the background.
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 18);
    /// Allowed only where a directive says so (`enable-debug-command`).
    pub const PROTECTED: Flags = Flags(1 << 19);

    /// Works with keys, and also without.
    pub const NO_MANDATORY_KEYS: Flags = Flags(1 << 20);

    /// Leaves what CLIENT CACHING said for the next command in force.
    pub const KEEPS_CACHING: Flags = Flags(1 << 21);

    // Flags of Kvarts's own, which COMMAND INFO does not show.

    /// Works on all databases, whichever is selected.
    pub const ALL_DATABASES: Flags = Flags(1 << 23);

    /// May change data without being a write.
    pub const MAY_REPLICATE: Flags = Flags(1 << 15);
    /// Works on the whole keyspace: runs with the gate open and takes what it needs itself.
    pub const WHOLE_KEYSPACE: Flags = Flags(1 << 24);
    /// Works on the whole keyspace without a lock of any slot: waits only for what is alone there.
    pub const LOCKS_NO_SLOT: Flags = Flags(1 << 32);
    /// Changes nothing itself, but stands in the stream of a primary.
    pub const IN_STREAMS: Flags = Flags(1 << 33);
    /// Works on the whole keyspace without passing its gate: counts at most, and waits for nothing.
    pub const PASSES_NO_GATE: Flags = Flags(1 << 38);
    /// Changes nothing, and may be broken off anywhere to begin anew: where it would wait for something slow that
    /// it meets on its way through the keyspace, it waits without a thread.
    pub const BEGINS_ANEW: Flags = Flags(1 << 39);
    /// Looks at its keys where they can be locked: where something slow or heavy has them it runs without.
    pub const LOCKS_IF_FREE: Flags = Flags(1 << 41);
    /// Needs the keyspace for itself for a moment while it runs, which is not from its beginning on.
    pub const ALONE_LATER: Flags = Flags(1 << 40);
    /// Stands in the stream for replicas alone: no file that repeats the stream holds it.
    pub const FOR_LINKS: Flags = Flags(1 << 34);
    /// Changes the server's role: runs alone in the keyspace, and while nothing of a primary's stream is
    /// being applied.
    pub const CHANGES_ROLE: Flags = Flags(1 << 35);
    /// Allowed to a RESP2 client that has subscribed.
    pub const WHILE_SUBSCRIBED: Flags = Flags(1 << 25);
    /// Runs at once in a transaction instead of being queued.
    pub const NOT_QUEUED: Flags = Flags(1 << 26);
    /// Answers the error of a disk that cannot be written, as writes do.
    pub const TELLS_DISK_ERRORS: Flags = Flags(1 << 27);
    /// Leaves the one-time permission of ASKING in force.
    pub const KEEPS_ASKING: Flags = Flags(1 << 28);

    /// Looks at how its keys are kept and does not use them: counts as no access of them.
    pub const NO_ACCESS: Flags = Flags(1 << 36);
    /// For operators and changes nothing: clients that only look may send it.
    pub const SHOWS: Flags = Flags(1 << 37);
    /// Does something to the server, or to other clients, though it is neither a write nor for operators: clients that
    /// only look may not send it.
    pub const ACTS: Flags = Flags(1 << 42);
    /// Its replies are push messages, which CLIENT REPLY does not silence.
    pub const PUSHES: Flags = Flags(1 << 29);
    /// Runs the client's queued requests: what it may do is what they may do.
    pub const RUNS_QUEUE: Flags = Flags(1 << 30);
    /// Changes which database the client's next requests work on.
    pub const SELECTS: Flags = Flags(1 << 31);

    /// This set without those of another.
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// Both sets together.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of them is set.
    #[inline]
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The words of COMMAND INFO, in Redis's order.
    pub fn words(self) -> Vec<&'static str> {
        const WORDS: [(Flags, &str); 20] = [
            (Flags::WRITE, "write"),
            (Flags::READONLY, "readonly"),
            (Flags::DENYOOM, "denyoom"),
            (Flags::ADMIN, "admin"),
            (Flags::PUBSUB, "pubsub"),
            (Flags::NOSCRIPT, "noscript"),
            (Flags::BLOCKING, "blocking"),
            (Flags::LOADING, "loading"),
            (Flags::STALE, "stale"),
            (Flags::SKIP_MONITOR, "skip_monitor"),
            (Flags::SKIP_COMMANDLOG, "skip_commandlog"),
            (Flags::ASKING, "asking"),
            (Flags::FAST, "fast"),
            (Flags::NO_AUTH, "no_auth"),
            (Flags::NO_MULTI, "no_multi"),
            (Flags::MOVABLE_KEYS, "movablekeys"),
            (Flags::ALLOW_BUSY, "allow_busy"),
            (Flags::NO_ASYNC_LOADING, "no_async_loading"),
            (Flags::NO_MANDATORY_KEYS, "no_mandatory_keys"),
            (Flags::NONE, ""),
        ];
        WORDS
            .iter()
            .filter(|(flag, word)| !word.is_empty() && self.has(*flag))
            .map(|(_, word)| *word)
            .collect()
    }
}

impl std::ops::BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        self.and(other)
    }
}

/// An ACL category.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    Keyspace,
    Read,
    Write,
    Set,
    SortedSet,
    List,
    Hash,
    String,
    Bitmap,
    HyperLogLog,
    Geo,
    Stream,
    Pubsub,
    Admin,
    Fast,
    Slow,
    Blocking,
    Dangerous,
    Connection,
    Transaction,
    Scripting,
}

impl Category {
    /// All of them in the order of ACL CAT.
    pub const ALL: [Category; 21] = [
        Category::Keyspace,
        Category::Read,
        Category::Write,
        Category::Set,
        Category::SortedSet,
        Category::List,
        Category::Hash,
        Category::String,
        Category::Bitmap,
        Category::HyperLogLog,
        Category::Geo,
        Category::Stream,
        Category::Pubsub,
        Category::Admin,
        Category::Fast,
        Category::Slow,
        Category::Blocking,
        Category::Dangerous,
        Category::Connection,
        Category::Transaction,
        Category::Scripting,
    ];

    /// Its name without the `@`.
    pub fn name(self) -> &'static str {
        match self {
            Category::Keyspace => "keyspace",
            Category::Read => "read",
            Category::Write => "write",
            Category::Set => "set",
            Category::SortedSet => "sortedset",
            Category::List => "list",
            Category::Hash => "hash",
            Category::String => "string",
            Category::Bitmap => "bitmap",
            Category::HyperLogLog => "hyperloglog",
            Category::Geo => "geo",
            Category::Stream => "stream",
            Category::Pubsub => "pubsub",
            Category::Admin => "admin",
            Category::Fast => "fast",
            Category::Slow => "slow",
            Category::Blocking => "blocking",
            Category::Dangerous => "dangerous",
            Category::Connection => "connection",
            Category::Transaction => "transaction",
            Category::Scripting => "scripting",
        }
    }
}

/// The group of COMMAND DOCS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Generic,
    String,
    List,
    Set,
    SortedSet,
    Hash,
    Pubsub,
    Transactions,
    Connection,
    Server,
    Scripting,
    HyperLogLog,
    Cluster,
    Geo,
    Stream,
    Bitmap,
}

impl Group {
    /// Name as COMMAND DOCS shows it.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Hash => "hash",
            Group::Pubsub => "pubsub",
            Group::Transactions => "transactions",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Scripting => "scripting",
            Group::HyperLogLog => "hyperloglog",
            Group::Cluster => "cluster",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Bitmap => "bitmap",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    /// Two flags with one bit would each mean the other as well: they are chosen by hand, in different places.
    #[test]
    fn each_flag_has_a_bit_of_its_own() {
        let source = include_str!("spec.rs");
        let bits =
            source.lines().filter_map(|line| line.split_once(": Flags = Flags(1 << ")?.1.split_once(");"));
        let bits: Vec<&str> = bits.map(|(bit, _)| bit).collect();
        assert!(bits.len() > 40, "{bits:?}");
        assert_eq!(bits.len(), bits.iter().collect::<HashSet<_>>().len(), "{bits:?}");
    }
}
