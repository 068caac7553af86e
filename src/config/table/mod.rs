//! The one table of directives. The configuration file, the command line, `CONFIG GET`, `CONFIG SET`,
//! `CONFIG REWRITE` and the documentation all read it; a new directive is a variant of [`Directive`] and a
//! line in one of the groups.
//!
//! Names, defaults, ranges and what may change at run time are those of Valkey 9.1. The few directives that
//! only this server knows are `read-only-port`, `tls-only`, `tls-auto-names`, `metrics-port`, `metrics-bind`,
//! `metrics-tls`, `console`, `console-hosts`, `transaction-rollback`, and those about profiles.

mod cluster;
mod directive;
mod encoding;
mod memory;
mod network;
mod persistence;
mod profile;
mod replication;
mod server;
mod tls;

pub use directive::Directive;

/// Names that older files carry and that are read over in silence.
pub const OBSOLETE: &[&str] = &[
    "dynamic-hz",
    "events-per-io-thread",
    "io-threads-do-reads",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "sanitize-dump-payload",
];

/// Looks at a text and gives the reason to refuse it, in the words for the client.
pub type Check = fn(&[u8]) -> Result<(), &'static str>;

/// What values a directive takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A whole number between two others, both included.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// As `Integer`, and then brought between two others.
    Clamped {
        /// Least value that is not refused.
        min: i64,
        /// Greatest value that is not refused.
        max: i64,
        /// Least value that is kept.
        low: i64,
        /// Greatest value that is kept.
        high: i64,
    },
    /// A number written in octal, from 0.
    Octal {
        /// Greatest value.
        max: i64,
    },
    /// A port that may be left unset; the number is then [`UNSET`].
    UnsetPort,
    /// A number of bytes, with or without a unit. The number holds the bits of a `u64`.
    Memory {
        /// Least value in bytes.
        min: u64,
        /// Greatest value in bytes.
        max: u64,
    },
    /// As `Memory`, but negative numbers have a meaning.
    SignedMemory {
        /// Least value.
        min: i64,
    },
    /// As `Memory`, or a percentage, which the number holds as its negative.
    MemoryOrPercent,
    /// One of these words; the number is the place in the list.
    Enum(&'static [&'static str]),
    /// One of these words; the number is the one beside it, and several words may mean the same.
    Aliased(&'static [(&'static str, i64)]),
    /// Any text, or what the check lets pass.
    Text(Option<Check>),
    /// A list of words without spaces.
    Words,
    /// `save`: pairs of seconds and changes.
    SavePoints,
    /// `client-output-buffer-limit`: for each class of client three limits.
    OutputBufferLimits,
    /// `notify-keyspace-events`: letters; the number holds the bits of
    /// [`KeyspaceEvents`](super::KeyspaceEvents).
    KeyspaceEvents,
    /// `oom-score-adj-values`: three numbers.
    OomScores,
    /// `latency-tracking-info-percentiles`: numbers from 0 to 100.
    Percentiles,
    /// `shutdown-on-*`: words that may be combined; the number holds the bits of [`SHUTDOWN_FLAGS`].
    ShutdownFlags,
    /// `replicaof`: host and port, or `no one`.
    ReplicaOf,
    /// `dir`: a folder that exists, kept as an absolute path.
    Directory,
    /// `activedefrag`: a boolean that can only be `no`.
    NoDefrag,
    /// `rdma-port`: a port that can only be 0.
    NoRdmaPort,
}

/// The number that stands for "not set" in a directive of kind [`Kind::UnsetPort`].
pub const UNSET: i64 = -1;

/// Words of `shutdown-on-sigint` and `shutdown-on-sigterm` with their bits, in the order they are shown.
pub const SHUTDOWN_FLAGS: &[(&str, i64)] =
    &[("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8), ("safe", 16), ("failover", 32)];

/// Whether a directive does something yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The server acts on it.
    Active,
    /// It is checked, kept and shown, and nothing follows from it.
    Accepted,
}

/// What the table says of one directive.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The directive itself.
    pub directive: Directive,
    /// Name in the file, in small letters.
    pub name: &'static str,
    /// Second name, of older versions.
    pub alias: Option<&'static str>,
    /// Values it takes.
    pub kind: Kind,
    /// Value when nothing is said, as it would stand in the file.
    pub default: &'static str,
    /// `CONFIG SET` may change it.
    pub mutable: bool,
    /// It takes any number of arguments, and a single one is split at its spaces.
    pub multi: bool,
    /// Its value must not appear in logs.
    pub secret: bool,
    /// `CONFIG SET` needs the leave of `enable-protected-configs`.
    pub protected: bool,
    /// `CONFIG SET` refuses it while data are being loaded.
    pub waits_for_data: bool,
    /// `CONFIG SET` has it take effect also where the value stays: it names a file whose content may be another one.
    pub rereads: bool,
    /// `CONFIG GET` shows it only when asked for by name, and the documentation leaves it out.
    pub hidden: bool,
    /// Whether the server acts on it.
    pub effect: Effect,
    /// One line that says what it does.
    pub doc: &'static str,
}

/// All directives, in the order of [`Directive`].
pub static TABLE: [Spec; Directive::COUNT] = assemble(&[
    network::SPECS,
    tls::SPECS,
    memory::SPECS,
    encoding::SPECS,
    persistence::SPECS,
    replication::SPECS,
    cluster::SPECS,
    server::SPECS,
    profile::SPECS,
]);

/// Headings of the groups for the documentation, each with the directives it holds.
pub(super) const GROUPS: &[(&str, &[Spec])] = &[
    ("Network and clients", network::SPECS),
    ("TLS", tls::SPECS),
    ("Memory", memory::SPECS),
    ("Encodings", encoding::SPECS),
    ("Persistence", persistence::SPECS),
    ("Replication", replication::SPECS),
    ("Cluster", cluster::SPECS),
    ("Server", server::SPECS),
    ("Profiles and rehearsed faults", profile::SPECS),
];

impl Directive {
    /// What the table says of the directive.
    pub fn spec(self) -> &'static Spec {
        // The discriminant is below COUNT by the test of the table's order.
        &TABLE[self.index()]
    }

    /// Name in the file.
    pub fn name(self) -> &'static str {
        self.spec().name
    }
}

/// Finds a directive by its name or its alias, in any case. The second part is the name it was found under.
pub fn find(name: &[u8]) -> Option<(&'static Spec, &'static str)> {
    TABLE.iter().find_map(|spec| {
        if name.eq_ignore_ascii_case(spec.name.as_bytes()) {
            return Some((spec, spec.name));
        }
        let alias = spec.alias?;
        name.eq_ignore_ascii_case(alias.as_bytes()).then_some((spec, alias))
    })
}

/// The known name closest to one that is not known, if any is close.
pub fn closest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let limit = (name.len() / 3).clamp(1, 4);
    TABLE
        .iter()
        .flat_map(|spec| std::iter::once(spec.name).chain(spec.alias))
        .map(|known| (distance(&name, known), known))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn one name into the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > 4 {
        return usize::MAX;
    }
    let width = b.len() + 1;
    let mut cost = vec![0usize; (a.len() + 1) * width];
    for row in 0..=a.len() {
        for column in 0..=b.len() {
            cost[row * width + column] = if row == 0 || column == 0 {
                row + column
            } else {
                let same = a[row - 1] == b[column - 1];
                let mut best = (cost[(row - 1) * width + column] + 1)
                    .min(cost[row * width + column - 1] + 1)
                    .min(cost[(row - 1) * width + column - 1] + usize::from(!same));
                if row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1] {
                    best = best.min(cost[(row - 2) * width + column - 2] + 1);
                }
                best
            };
        }
    }
    cost[cost.len() - 1]
}

const I32_MIN: i64 = i32::MIN as i64;
const I32_MAX: i64 = i32::MAX as i64;
const U32_MAX: i64 = u32::MAX as i64;
const I64_MIN: i64 = i64::MIN;
const I64_MAX: i64 = i64::MAX;
const U64_MAX: u64 = u64::MAX;
/// The greatest number of bytes where Valkey counts them in a signed type.
const SIGNED_MAX: u64 = i64::MAX as u64;

const BOOL: Kind = Kind::Bool;
const TEXT: Kind = Kind::Text(None);
const PORT: Kind = Kind::Integer { min: 0, max: 65535 };
const UNSET_PORT: Kind = Kind::UnsetPort;
/// Most databases: their numbers, and those of as many that a copy is loaded into, are kept in 16 bits.
const DATABASES_MAX: i64 = i16::MAX as i64;
/// A number of things.
const COUNT: Kind = Kind::Integer { min: 0, max: I32_MAX };
const SIZE: Kind = Kind::Integer { min: 0, max: I64_MAX };
const U32: Kind = Kind::Integer { min: 0, max: U32_MAX };
const PER_CYCLE: Kind = Kind::Integer { min: 1, max: 1000 };

const fn memory(min: u64, max: u64) -> Kind {
    Kind::Memory { min, max }
}

const fn spec(
    directive: Directive,
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Spec {
    Spec {
        directive,
        name,
        alias: None,
        kind,
        default,
        mutable: true,
        multi: false,
        secret: false,
        protected: false,
        waits_for_data: false,
        rereads: false,
        hidden: false,
        effect: Effect::Accepted,
        doc,
    }
}

impl Spec {
    const fn alias(mut self, alias: &'static str) -> Spec {
        self.alias = Some(alias);
        self
    }

    const fn active(mut self) -> Spec {
        self.effect = Effect::Active;
        self
    }

    const fn immutable(mut self) -> Spec {
        self.mutable = false;
        self
    }

    const fn multi(mut self) -> Spec {
        self.multi = true;
        self
    }

    const fn secret(mut self) -> Spec {
        self.secret = true;
        self
    }

    const fn rereads(mut self) -> Spec {
        self.rereads = true;
        self
    }

    const fn protected(mut self) -> Spec {
        self.protected = true;
        self
    }

    const fn waits_for_data(mut self) -> Spec {
        self.waits_for_data = true;
        self
    }

    const fn hidden(mut self) -> Spec {
        self.hidden = true;
        self
    }
}

/// Joins the groups. A wrong number of directives does not compile.
const fn assemble(groups: &[&[Spec]]) -> [Spec; Directive::COUNT] {
    let mut table = [groups[0][0]; Directive::COUNT];
    let mut next = 0;
    let mut group = 0;
    while group < groups.len() {
        let mut entry = 0;
        while entry < groups[group].len() {
            table[next] = groups[group][entry];
            next += 1;
            entry += 1;
        }
        group += 1;
    }
    assert!(next == Directive::COUNT, "directives without an entry in the table");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_directives() {
        for (place, spec) in TABLE.iter().enumerate() {
            assert_eq!(spec.directive.index(), place, "{}", spec.name);
            assert_eq!(spec.directive.name(), spec.name);
        }
    }

    #[test]
    fn names_are_small_letters_and_unlike() {
        let mut names: Vec<&str> =
            TABLE.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.alias)).collect();
        assert!(names.iter().all(|name| *name == name.to_ascii_lowercase()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn directives_are_found_by_name_and_alias_in_any_case() {
        let found = |name: &str| find(name.as_bytes()).map(|(spec, name)| (spec.directive, name));
        assert_eq!(found("MaxMemory"), Some((Directive::Maxmemory, "maxmemory")));
        assert_eq!(found("SLAVEOF"), Some((Directive::Replicaof, "slaveof")));
        assert_eq!(found("nosuch"), None);
    }

    #[test]
    fn a_mistyped_name_is_told_the_closest() {
        assert_eq!(closest("maxmemmory"), Some("maxmemory"));
        assert_eq!(closest("prot"), Some("port"));
        assert_eq!(closest("tls_port"), Some("tls-port"));
        assert_eq!(closest("slave-priorty"), Some("slave-priority"));
        assert_eq!(closest("quite-something-else"), None);
    }

    #[test]
    fn lists_take_several_arguments() {
        for spec in &TABLE {
            if matches!(
                spec.kind,
                Kind::Words | Kind::SavePoints | Kind::OutputBufferLimits | Kind::ShutdownFlags
            ) {
                assert!(spec.multi, "{}", spec.name);
            }
        }
    }

    #[test]
    fn every_directive_is_documented_in_one_sentence() {
        for spec in &TABLE {
            assert!(spec.doc.ends_with('.') && !spec.doc.contains('\n'), "{}", spec.name);
        }
    }
}
