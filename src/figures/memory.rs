//! Figures of the section Memory.

use super::{Figure, Kind, Sight, Unit, Value, constant, counter, gauge, text, zero};
use crate::config::Directive;

/// The process and the data.
pub(super) const FIGURES: &[Figure] = &[
    gauge(
        "used_memory",
        Unit::Bytes,
        "Memory that the allocator has handed out, without mem_slot_tables: what maxmemory limits.",
        |at| at.memory().allocated.into(),
    )
    .export("redis_memory_used_bytes"),
    gauge("used_memory_human", Unit::Bytes, "used_memory, for people.", |at| {
        Value::Human(at.memory().allocated)
    }),
    gauge("used_memory_rss", Unit::Bytes, "Memory that the system holds for the process.", |at| {
        at.memory().resident.into()
    })
    .export("redis_memory_used_rss_bytes"),
    gauge("used_memory_rss_human", Unit::Bytes, "used_memory_rss, for people.", |at| {
        Value::Human(at.memory().resident)
    }),
    gauge("used_memory_peak", Unit::Bytes, "Largest used_memory since the start.", |at| {
        at.memory().peak.into()
    })
    .export("redis_memory_used_peak_bytes"),
    gauge("used_memory_peak_human", Unit::Bytes, "used_memory_peak, for people.", |at| {
        Value::Human(at.memory().peak)
    }),
    gauge("used_memory_peak_perc", Unit::Percent, "used_memory in percent of its peak.", |at| {
        Value::Percent(ratio(at.memory().allocated, at.memory().peak) * 100.0)
    }),
    gauge(
        "used_memory_overhead",
        Unit::Bytes,
        "Memory of the databases' tables, without keys and values, of what key-sizes keeps, and used_memory_startup.",
        |at| at.overhead_bytes().into(),
    )
    .export("redis_memory_used_overhead_bytes"),
    gauge("used_memory_startup", Unit::Bytes, "used_memory when the server had been made.", |at| {
        at.server.identity.memory_startup.into()
    })
    .export("redis_memory_used_startup_bytes"),
    gauge("used_memory_dataset", Unit::Bytes, "used_memory without used_memory_overhead.", |at| {
        dataset(at).into()
    })
    .export("redis_memory_used_dataset_bytes"),
    gauge(
        "used_memory_dataset_perc",
        Unit::Percent,
        "used_memory_dataset in percent of used_memory.",
        |at| Value::Percent(ratio(dataset(at), at.memory().allocated) * 100.0),
    ),
    gauge(
        "allocator_allocated",
        Unit::Bytes,
        "Memory that the allocator has handed out, as used_memory.",
        |at| at.memory().allocated.into(),
    )
    .export("redis_allocator_allocated_bytes"),
    gauge(
        "allocator_active",
        Unit::Bytes,
        "Memory that the system holds for the process, as used_memory_rss.",
        |at| at.memory().resident.into(),
    )
    .export("redis_allocator_active_bytes"),
    gauge(
        "allocator_resident",
        Unit::Bytes,
        "Memory that the system holds for the process, as used_memory_rss.",
        |at| at.memory().resident.into(),
    )
    .export("redis_allocator_resident_bytes"),
    zero(
        "allocator_muzzy",
        Unit::Bytes,
        "Memory that the system may take back; the allocator does not tell.",
    )
    .export("redis_allocator_muzzy_bytes"),
    gauge("total_system_memory", Unit::Bytes, "All memory of the machine.", |at| at.memory().system.into())
        .export("redis_total_system_memory_bytes"),
    gauge("total_system_memory_human", Unit::Bytes, "total_system_memory, for people.", |at| {
        Value::Human(at.memory().system)
    }),
];

/// Scripts and functions. A machine that holds the functions of libraries counts as theirs.
pub(super) const SCRIPTS: &[Figure] = &[
    gauge("used_memory_lua", Unit::Bytes, "Memory of the Lua machines that run scripts.", |at| {
        at.machines().scripts_bytes.into()
    })
    .export("redis_memory_used_lua_bytes"),
    gauge(
        "used_memory_vm_eval",
        Unit::Bytes,
        "Memory of the Lua machines that run scripts, as used_memory_lua.",
        |at| at.machines().scripts_bytes.into(),
    )
    .export("redis_memory_used_vm_eval_bytes"),
    gauge("used_memory_lua_human", Unit::Bytes, "used_memory_lua, for people.", |at| {
        Value::Human(at.machines().scripts_bytes as u64)
    }),
    gauge(
        "used_memory_scripts_eval",
        Unit::Bytes,
        "Memory of the scripts that are kept for EVALSHA.",
        |at| at.server.scripting.scripts.memory_bytes().into(),
    )
    .export("redis_memory_used_scripts_eval_bytes"),
    gauge("number_of_cached_scripts", Unit::None, "Scripts that are kept for EVALSHA.", |at| {
        at.server.scripting.scripts.count().into()
    })
    .export("redis_number_of_cached_scripts"),
    gauge("number_of_functions", Unit::None, "Functions of all libraries.", |at| {
        at.server.scripting.libraries.function_count().into()
    })
    .export("redis_number_of_functions"),
    gauge("number_of_libraries", Unit::None, "Libraries of functions.", |at| {
        at.server.scripting.libraries.all().len().into()
    })
    .export("redis_number_of_libraries"),
    gauge("used_memory_vm_functions", Unit::Bytes, "Memory of the Lua machines that hold functions.", |at| {
        (at.server.scripting.libraries.memory_bytes() + at.machines().with_functions_bytes).into()
    })
    .export("redis_memory_used_vm_functions_bytes"),
    gauge("used_memory_vm_total", Unit::Bytes, "Memory of all Lua machines.", |at| {
        at.machines().total().into()
    })
    .export("redis_memory_used_vm_total"),
    gauge("used_memory_vm_total_human", Unit::Bytes, "used_memory_vm_total, for people.", |at| {
        Value::Human(at.machines().total() as u64)
    }),
    gauge("used_memory_functions", Unit::Bytes, "Memory of the libraries of functions.", |at| {
        at.server.scripting.libraries.memory_bytes().into()
    })
    .export("redis_memory_used_functions_bytes"),
    gauge("used_memory_scripts", Unit::Bytes, "Memory of scripts and libraries together.", |at| {
        scripts_bytes(at).into()
    })
    .export("redis_memory_used_scripts_bytes"),
    gauge("used_memory_scripts_human", Unit::Bytes, "used_memory_scripts, for people.", |at| {
        Value::Human(scripts_bytes(at) as u64)
    }),
];

/// The limit, fragmentation, buffers, what is freed later.
pub(super) const REST: &[Figure] = &[
    gauge("maxmemory", Unit::Bytes, "Limit of used_memory (directive maxmemory); 0 for none.", |at| {
        maximum(at).into()
    })
    .export("redis_memory_max_bytes"),
    gauge("maxmemory_human", Unit::Bytes, "maxmemory, for people.", |at| Value::Human(maximum(at))),
    text("maxmemory_policy", "What is evicted at the limit (directive maxmemory-policy).", |at| {
        at.server.config.word(Directive::MaxmemoryPolicy).into()
    }),
    constant("allocator_frag_ratio", Unit::Ratio, "allocator_active by allocator_allocated; not told.", one)
        .export("redis_allocator_frag_ratio"),
    zero(
        "allocator_frag_bytes",
        Unit::Bytes,
        "allocator_active without allocator_allocated; the allocator does not tell.",
    )
    .export("redis_allocator_frag_bytes"),
    gauge("allocator_rss_ratio", Unit::Ratio, "used_memory_rss by used_memory.", fragmentation)
        .export("redis_allocator_rss_ratio"),
    gauge("allocator_rss_bytes", Unit::Bytes, "used_memory_rss without used_memory.", waste)
        .export("redis_allocator_rss_bytes"),
    constant("rss_overhead_ratio", Unit::Ratio, "used_memory_rss by allocator_resident.", one),
    zero("rss_overhead_bytes", Unit::Bytes, "used_memory_rss without allocator_resident; none."),
    gauge(
        "mem_fragmentation_ratio",
        Unit::Ratio,
        "used_memory_rss by used_memory: far above 1 the system holds memory that nothing is in.",
        fragmentation,
    )
    .export("redis_mem_fragmentation_ratio"),
    gauge("mem_fragmentation_bytes", Unit::Bytes, "used_memory_rss without used_memory.", waste)
        .export("redis_mem_fragmentation_bytes"),
    gauge(
        "mem_slot_tables",
        Unit::Bytes,
        "Memory of the tables of all slots while they are empty, which used_memory leaves out.",
        |at| at.server.keyspace.all_made().map(|database| database.fixed_bytes()).sum::<u64>().into(),
    ),
    gauge(
        "mem_not_counted_for_evict",
        Unit::Bytes,
        "Memory of the stream of changes, which evicts nothing.",
        |at| at.server.journal().all_memory_bytes().into(),
    )
    .export("redis_mem_not_counted_for_eviction_bytes"),
    gauge(
        "mem_replication_backlog",
        Unit::Bytes,
        "Memory of the stream that is kept for replicas that come back.",
        |at| at.server.replication_memory().0.into(),
    )
    .export("redis_mem_replication_backlog_bytes"),
    gauge(
        "mem_total_replication_buffers",
        Unit::Bytes,
        "Memory of the whole stream that replicas need.",
        |at| {
            let (backlog, beyond) = at.server.replication_memory();
            (backlog + beyond).into()
        },
    )
    .export("redis_mem_total_replication_buffers_bytes"),
    gauge(
        "mem_replicas_repl_buffer",
        Unit::Bytes,
        "Memory of the stream that replicas need beyond repl-backlog-size.",
        |at| at.server.replication_memory().1.into(),
    )
    .export("kvarts_mem_replicas_buffer_bytes"),
    gauge("mem_replicas_spill_file", Unit::Bytes, "The part of the stream that lies in a file.", |at| {
        at.server.journal().spill_bytes().into()
    }),
    zero("mem_clients_slaves", Unit::Bytes, "Buffers of replicas' own; they have none.")
        .export("redis_mem_clients_slaves"),
    gauge("mem_clients_normal", Unit::Bytes, "Memory of all clients' buffers and messages.", |at| {
        at.clients().bytes.into()
    })
    .export("redis_mem_clients_normal"),
    zero("mem_cluster_links", Unit::Bytes, "Memory of the cluster bus, which does not exist.")
        .export("redis_mem_cluster_links_bytes"),
    zero("mem_cluster_slot_import", Unit::Bytes, "Memory of slots on their way in; none migrates."),
    zero("mem_cluster_slot_export", Unit::Bytes, "Memory of slots on their way out; none migrates."),
    zero("mem_aof_buffer", Unit::Bytes, "Always 0: aof_buffer_length tells what is still to be written.")
        .export("redis_mem_aof_buffer_bytes"),
    text("mem_allocator", "The allocator.", |_| crate::alloc::NAME.into()),
    zero(
        "mem_overhead_db_hashtable_rehashing",
        Unit::Bytes,
        "Memory of tables that are being replaced; not told apart.",
    )
    .export("redis_mem_overhead_db_hashtable_rehashing_bytes"),
    zero("active_defrag_running", Unit::None, "Whether memory is being moved; it never is.")
        .export("redis_active_defrag_running"),
    gauge("lazyfree_pending_objects", Unit::None, "Values that another thread has still to free.", |at| {
        at.server.keyspace.reaper.pending().into()
    })
    .export("redis_lazyfree_pending_objects"),
    counter("lazyfreed_objects", Unit::None, "Values that another thread has freed.", |at| {
        at.server.keyspace.reaper.freed().into()
    })
    .export("redis_lazyfreed_objects")
    .exported_as(Kind::Gauge),
];

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn one(_: &Sight<'_>) -> Value {
    Value::Fixed(1.0, 2)
}

fn dataset(at: &Sight<'_>) -> u64 {
    at.memory().allocated.saturating_sub(at.overhead_bytes())
}

fn scripts_bytes(at: &Sight<'_>) -> usize {
    at.server.scripting.scripts.memory_bytes() + at.server.scripting.libraries.memory_bytes()
}

fn maximum(at: &Sight<'_>) -> u64 {
    at.int(Directive::Maxmemory).max(0) as u64
}

fn fragmentation(at: &Sight<'_>) -> Value {
    Value::Fixed(ratio(at.memory().resident, at.memory().allocated), 2)
}

fn waste(at: &Sight<'_>) -> Value {
    (at.memory().resident as i64 - at.memory().allocated as i64).into()
}
