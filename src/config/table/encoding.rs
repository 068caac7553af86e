//! When a collection leaves its compact form.

use super::{COUNT, Directive as D, I32_MAX, I32_MIN, Kind, SIGNED_MAX, SIZE, Spec, memory, spec};

/// Rows of the table: name, values, default, text and effect of each directive.
pub(super) const SPECS: &[Spec] = &[
    spec(
        D::HashMaxListpackEntries,
        "hash-max-listpack-entries",
        SIZE,
        "512",
        "Fields up to which a hash stays compact.",
    )
    .active()
    .alias("hash-max-ziplist-entries"),
    spec(
        D::HashMaxListpackValue,
        "hash-max-listpack-value",
        memory(0, SIGNED_MAX),
        "64",
        "Bytes up to which a field or value lets a hash stay compact.",
    )
    .active()
    .alias("hash-max-ziplist-value"),
    spec(
        D::ListMaxListpackSize,
        "list-max-listpack-size",
        Kind::Integer { min: I32_MIN, max: I32_MAX },
        "-2",
        "Elements in a node of a list, or as -1 to -5 its size from 4 to 64 kilobytes.",
    )
    .active()
    .alias("list-max-ziplist-size"),
    spec(
        D::ListCompressDepth,
        "list-compress-depth",
        COUNT,
        "0",
        "Nodes at each end of a list that are left uncompressed; 0 compresses none.",
    ),
    spec(
        D::SetMaxIntsetEntries,
        "set-max-intset-entries",
        SIZE,
        "512",
        "Members up to which a set of integers stays compact.",
    )
    .active(),
    spec(
        D::SetMaxListpackEntries,
        "set-max-listpack-entries",
        SIZE,
        "128",
        "Members up to which a set stays compact.",
    )
    .active(),
    spec(
        D::SetMaxListpackValue,
        "set-max-listpack-value",
        SIZE,
        "64",
        "Bytes up to which a member lets a set stay compact.",
    )
    .active(),
    spec(
        D::ZsetMaxListpackEntries,
        "zset-max-listpack-entries",
        SIZE,
        "128",
        "Members up to which a sorted set stays compact.",
    )
    .active()
    .alias("zset-max-ziplist-entries"),
    spec(
        D::ZsetMaxListpackValue,
        "zset-max-listpack-value",
        memory(0, SIGNED_MAX),
        "64",
        "Bytes up to which a member lets a sorted set stay compact.",
    )
    .active()
    .alias("zset-max-ziplist-value"),
    spec(
        D::HllSparseMaxBytes,
        "hll-sparse-max-bytes",
        memory(0, SIGNED_MAX),
        "3000",
        "Bytes up to which a HyperLogLog stays sparse.",
    )
    .active(),
    spec(
        D::StreamNodeMaxBytes,
        "stream-node-max-bytes",
        memory(0, SIGNED_MAX),
        "4096",
        "Bytes of a node of a stream; 0 is no limit.",
    )
    .active(),
    spec(
        D::StreamNodeMaxEntries,
        "stream-node-max-entries",
        SIZE,
        "100",
        "Entries of a node of a stream; 0 is no limit.",
    )
    .active(),
    spec(
        D::StreamIdmpDuration,
        "stream-idmp-duration",
        Kind::Integer { min: 1, max: 86_400 },
        "100",
        "Seconds for which a stream knows the ids of producers (XADD IDMP), where XCFGSET says nothing else.",
    )
    .active(),
    spec(
        D::StreamIdmpMaxsize,
        "stream-idmp-maxsize",
        Kind::Integer { min: 1, max: 10_000 },
        "100",
        "Ids of each producer that a stream knows (XADD IDMP), where XCFGSET says nothing else.",
    )
    .active(),
];
