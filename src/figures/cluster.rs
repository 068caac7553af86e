//! Figures of CLUSTER INFO. The server is one node that owns all slots, so most are the same everywhere.

use super::{Figure, Sight, Unit, Value, constant, gauge, zero};
use crate::keyspace::key_hash::SLOT_COUNT;

/// Its fields in their order. Prometheus is given them in cluster mode only.
pub const FIGURES: &[Figure] = &[
    constant("cluster_state", Unit::None, "Whether the cluster serves requests; always.", |at| {
        in_cluster(at, Value::Word("ok", 1))
    })
    .export("redis_cluster_state"),
    constant("cluster_slots_assigned", Unit::None, "Slots that have a node; all have.", slots)
        .export("redis_cluster_slots_assigned"),
    constant("cluster_slots_ok", Unit::None, "Slots whose node is well; all are.", slots)
        .export("redis_cluster_slots_ok"),
    none("cluster_slots_pfail", Unit::None, "Slots whose node may have failed; none.")
        .export("redis_cluster_slots_pfail"),
    none("cluster_slots_fail", Unit::None, "Slots whose node has failed; none.")
        .export("redis_cluster_slots_fail"),
    none("cluster_nodes_pfail", Unit::None, "Nodes that may have failed; none.")
        .export("redis_cluster_nodes_pfail"),
    none("cluster_nodes_fail", Unit::None, "Nodes that have failed; none.")
        .export("redis_cluster_nodes_fail"),
    none("cluster_voting_nodes_pfail", Unit::None, "Nodes with slots that may have failed; none.")
        .export("redis_cluster_voting_nodes_pfail"),
    none("cluster_voting_nodes_fail", Unit::None, "Nodes with slots that have failed; none.")
        .export("redis_cluster_voting_nodes_fail"),
    gauge("cluster_known_nodes", Unit::None, "Nodes: this one, and its read-only port as a replica.", |at| {
        let read_only = at.server.identity.ports.read().read_only != 0;
        in_cluster(at, (1 + usize::from(read_only)).into())
    })
    .export("redis_cluster_known_nodes"),
    constant("cluster_size", Unit::None, "Nodes with slots; this one.", |at| {
        in_cluster(at, Value::Unsigned(1))
    })
    .export("redis_cluster_size"),
    gauge("cluster_current_epoch", Unit::None, "Epoch of the cluster.", epoch)
        .export("redis_cluster_current_epoch"),
    gauge("cluster_my_epoch", Unit::None, "Epoch of this node.", epoch).export("redis_cluster_my_epoch"),
    none("cluster_stats_messages_sent", Unit::None, "Messages sent over the cluster bus; there is none.")
        .export("redis_cluster_messages_sent_total"),
    none("cluster_stats_messages_received", Unit::None, "Messages read from the cluster bus; there is none.")
        .export("redis_cluster_messages_received_total"),
    none("cluster_stats_bytes_sent", Unit::Bytes, "Bytes sent over the cluster bus; there is none.")
        .export("redis_cluster_stats_bytes_sent"),
    none("cluster_stats_bytes_received", Unit::Bytes, "Bytes read from the cluster bus; there is none.")
        .export("redis_cluster_stats_bytes_received"),
    none(
        "cluster_stats_pubsub_bytes_sent",
        Unit::Bytes,
        "Bytes of published messages sent over it; there is none.",
    )
    .export("redis_cluster_stats_pubsub_bytes_sent"),
    none(
        "cluster_stats_pubsub_bytes_received",
        Unit::Bytes,
        "Bytes of published messages read from it; there is none.",
    )
    .export("redis_cluster_stats_pubsub_bytes_received"),
    none(
        "cluster_stats_module_bytes_sent",
        Unit::Bytes,
        "Bytes of modules' messages sent over it; there is none.",
    )
    .export("redis_cluster_stats_module_bytes_sent"),
    none(
        "cluster_stats_module_bytes_received",
        Unit::Bytes,
        "Bytes of modules' messages read from it; there is none.",
    )
    .export("redis_cluster_stats_module_bytes_received"),
    zero(
        "total_cluster_links_buffer_limit_exceeded",
        Unit::None,
        "Links of the cluster bus that were cut; there is none.",
    ),
];

/// A field that is 0 in every cluster.
const fn none(name: &'static str, unit: Unit, help: &'static str) -> Figure {
    constant(name, unit, help, |at| in_cluster(at, Value::Unsigned(0)))
}

fn in_cluster(at: &Sight<'_>, value: Value) -> Value {
    if at.server.cluster.is_enabled() { value } else { Value::None }
}

fn slots(at: &Sight<'_>) -> Value {
    in_cluster(at, SLOT_COUNT.into())
}

fn epoch(at: &Sight<'_>) -> Value {
    in_cluster(at, at.server.cluster.epoch().into())
}
