//! Memory, eviction, expiry and release.

use super::{BOOL, COUNT, Directive as D, I64_MAX, Kind, SIGNED_MAX, SIZE, Spec, U64_MAX, memory, spec};

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::Maxmemory,
        "maxmemory",
        memory(0, U64_MAX),
        "0",
        "Bytes of data from which on keys are evicted or writes refused; 0 is no limit.",
    )
    .active(),
    spec(
        D::MaxmemoryPolicy,
        "maxmemory-policy",
        Kind::Enum(&[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "volatile-lrm",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "allkeys-lrm",
            "noeviction",
        ]),
        "noeviction",
        "Which keys are evicted when maxmemory is reached.",
    )
    .active(),
    spec(
        D::MaxmemorySamples,
        "maxmemory-samples",
        Kind::Integer { min: 1, max: 64 },
        "5",
        "Keys looked at to choose one to evict.",
    )
    .active(),
    spec(
        D::MaxmemoryEvictionTenacity,
        "maxmemory-eviction-tenacity",
        Kind::Integer { min: 0, max: 100 },
        "10",
        "How long eviction may hold up requests, from 0 (least) to 100.",
    )
    .active(),
    spec(D::LfuLogFactor, "lfu-log-factor", COUNT, "10", "How slowly the counter of uses of a key grows.")
        .active(),
    spec(D::LfuDecayTime, "lfu-decay-time", COUNT, "1", "Minutes after which that counter falls by one.")
        .active(),
    spec(
        D::ActiveExpireEffort,
        "active-expire-effort",
        Kind::Integer { min: 1, max: 10 },
        "1",
        "Share of the time spent on removing expired keys, from 1 to 10.",
    ),
    spec(
        D::LazyfreeLazyEviction,
        "lazyfree-lazy-eviction",
        BOOL,
        "yes",
        "Free evicted values in the background.",
    )
    .active(),
    spec(
        D::LazyfreeLazyExpire,
        "lazyfree-lazy-expire",
        BOOL,
        "yes",
        "Free expired values in the background.",
    )
    .active(),
    spec(
        D::LazyfreeLazyServerDel,
        "lazyfree-lazy-server-del",
        BOOL,
        "yes",
        "Free values that a command overwrites in the background.",
    )
    .active(),
    spec(
        D::LazyfreeLazyUserDel,
        "lazyfree-lazy-user-del",
        BOOL,
        "yes",
        "Let DEL free in the background, as UNLINK does.",
    )
    .active(),
    spec(
        D::LazyfreeLazyUserFlush,
        "lazyfree-lazy-user-flush",
        BOOL,
        "yes",
        "Let FLUSHALL and FLUSHDB free in the background unless told otherwise.",
    ),
    spec(D::Activerehashing, "activerehashing", BOOL, "yes", "Spend spare time on resizing tables."),
    spec(
        D::Activedefrag,
        "activedefrag",
        Kind::NoDefrag,
        "no",
        "Move values to undo fragmentation, which is not supported.",
    ),
    spec(
        D::ActiveDefragIgnoreBytes,
        "active-defrag-ignore-bytes",
        memory(1, SIGNED_MAX),
        "100mb",
        "Fragmentation in bytes below which nothing is moved.",
    ),
    spec(
        D::ActiveDefragThresholdLower,
        "active-defrag-threshold-lower",
        Kind::Integer { min: 0, max: 1000 },
        "10",
        "Fragmentation in percent from which on values are moved.",
    ),
    spec(
        D::ActiveDefragThresholdUpper,
        "active-defrag-threshold-upper",
        Kind::Integer { min: 0, max: 1000 },
        "100",
        "Fragmentation in percent at which the greatest effort is made.",
    ),
    spec(
        D::ActiveDefragCycleMin,
        "active-defrag-cycle-min",
        Kind::Integer { min: 1, max: 99 },
        "1",
        "Least share of a core in percent for moving values.",
    ),
    spec(
        D::ActiveDefragCycleMax,
        "active-defrag-cycle-max",
        Kind::Integer { min: 1, max: 99 },
        "25",
        "Greatest share of a core in percent for moving values.",
    ),
    spec(
        D::ActiveDefragCycleUs,
        "active-defrag-cycle-us",
        Kind::Integer { min: 0, max: 100_000 },
        "500",
        "Microseconds one pass of moving values may take.",
    ),
    spec(
        D::ActiveDefragMaxScanFields,
        "active-defrag-max-scan-fields",
        Kind::Integer { min: 1, max: I64_MAX },
        "1000",
        "Elements above which a collection is moved in several passes.",
    ),
    spec(
        D::JemallocBgThread,
        "jemalloc-bg-thread",
        BOOL,
        "yes",
        "Let the allocator return memory in a thread of its own.",
    ),
    spec(D::DisableThp, "disable-thp", BOOL, "yes", "Turn transparent huge pages off for the process.")
        .immutable(),
    spec(
        D::OomScoreAdj,
        "oom-score-adj",
        Kind::Aliased(&[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)]),
        "no",
        "Whether to tell the kernel whom to end first when memory runs out.",
    )
    .active(),
    spec(
        D::OomScoreAdjValues,
        "oom-score-adj-values",
        Kind::OomScores,
        "0 200 800",
        "Scores for primary, replica and background child; there is no such child.",
    )
    .active()
    .multi(),
    spec(
        D::TrackingTableMaxKeys,
        "tracking-table-max-keys",
        SIZE,
        "1000000",
        "Keys remembered for client-side caching; 0 is no limit.",
    )
    .active(),
];
