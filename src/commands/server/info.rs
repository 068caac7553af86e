//! INFO: every field is true, or constant for the reason that docs/info-constants.md gives.

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use crate::command::{Category, Flags, Group, args};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::append_only::Figures;
use crate::engine::command::Command;
use crate::engine::context::Context;
use crate::engine::following::{LinkState, Primary};
use crate::error::CommandResult;
use crate::keyspace::sweep;
use crate::shared::client::Door;
use crate::shared::pause::{InForce, Scope};
use crate::shared::pubsub::Kind;
use crate::shared::stats::Counter;

/// Entry of the command in this file.
pub const COMMANDS: &[Command] = &[Command {
    name: "info",
    arity: -1,
    flags: Flags::LOADING.and(Flags::STALE).and(Flags::WHOLE_KEYSPACE).and(Flags::LOCKS_NO_SLOT),
    categories: &[Category::Dangerous],
    group: Group::Server,
    summary: "Describes the server and what it has done.",
    syntax: "[section [section ...]]",
    since: "1.0.0",
    reply: "lines of fields",
    run: info,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    ..Command::DEFAULT
}];

/// A section of INFO: name, title, whether INFO without arguments shows it, and the function that writes its
/// fields.
struct Section {
    name: &'static str,
    title: &'static str,
    is_default: bool,
    write: fn(&Context<'_>, &mut Fields),
}

const fn section(
    name: &'static str,
    title: &'static str,
    is_default: bool,
    write: fn(&Context<'_>, &mut Fields),
) -> Section {
    Section { name, title, is_default, write }
}

const SECTIONS: &[Section] = &[
    section("server", "Server", true, server),
    section("tls", "TLS", true, tls),
    section("clients", "Clients", true, clients),
    section("memory", "Memory", true, memory),
    section("persistence", "Persistence", true, persistence),
    section("stats", "Stats", true, stats),
    section("replication", "Replication", true, replication),
    section("cpu", "CPU", true, cpu),
    section("modules", "Modules", true, |_, _| {}),
    section("commandstats", "Commandstats", false, commandstats),
    section("errorstats", "Errorstats", true, errorstats),
    section("latencystats", "Latencystats", false, latencystats),
    section("cluster", "Cluster", true, cluster),
    section("cluster_info", "Cluster Info", true, |_, _| {}),
    section("scripting_engines", "Scripting Engines", true, scripting_engines),
    section("keyspace", "Keyspace", true, keyspace),
];

/// The text being written.
struct Fields(String);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.add(name, 0);
        }
    }
}

/// INFO [section ...]
fn info(cx: &mut Context<'_>, arguments: &[&[u8]]) -> CommandResult {
    let words = &arguments[1..];
    let asks = |word: &str| words.iter().any(|given| args::is(given, word));
    let everything = asks("ALL") || asks("EVERYTHING");
    let default = words.is_empty() || asks("DEFAULT");
    let mut fields = Fields(String::new());
    for section in SECTIONS {
        let named = words.iter().any(|word| word.eq_ignore_ascii_case(section.name.as_bytes()));
        if named || everything || (default && section.is_default) {
            if !fields.0.is_empty() {
                fields.0.push_str("\r\n");
            }
            let _ = write!(fields.0, "# {}\r\n", section.title);
            (section.write)(cx, &mut fields);
        }
    }
    cx.reply.verbatim("txt", fields.0.as_bytes());
    Ok(())
}

fn server(cx: &Context<'_>, fields: &mut Fields) {
    let server = cx.server;
    let uptime_s = cx.keys.now_ms.saturating_sub(server.identity.started_ms) / 1000;
    let ports = *server.identity.ports.read();
    let port = if cx.client.door == Door::ReadOnly { ports.read_only } else { ports.main };
    fields.add("redis_version", crate::REDIS_VERSION);
    fields.add("server_name", "kvarts");
    fields.add("kvarts_version", crate::VERSION);
    fields.add("redis_git_sha1", "00000000");
    fields.add("redis_git_dirty", 0);
    fields.add("redis_build_id", "0000000000000000");
    // Both Valkey's name and Redis's, which clients ask for.
    for name in ["server_mode", "redis_mode"] {
        fields.add(name, if server.cluster.is_enabled() { "cluster" } else { "standalone" });
    }
    fields.add("os", format_args!("{} {}", os_name(), std::env::consts::ARCH));
    fields.add("arch_bits", usize::BITS);
    fields.add("monotonic_clock", "POSIX clock_gettime");
    fields.add("multiplexing_api", "epoll");
    fields.add("process_id", std::process::id());
    fields.add("process_supervised", "no");
    fields.add("run_id", &server.identity.run_id);
    fields.add("tcp_port", port);
    fields.add("server_time_usec", server.clock.now_us());
    fields.add("uptime_in_seconds", uptime_s);
    fields.add("uptime_in_days", uptime_s / 86_400);
    let hz = server.config.int(Directive::Hz);
    for name in ["hz", "configured_hz", "clients_hz"] {
        fields.add(name, hz);
    }
    fields.add("lru_clock", (cx.keys.now_ms / 1000) & 0xff_ffff);
    fields.add("executable", executable());
    fields
        .add("config_file", server.config.file().map_or_else(String::new, |path| path.display().to_string()));
    fields.add("io_threads_active", u8::from(server.identity.workers > 1));
    fields.add("worker_threads", server.identity.workers);
    if let Some(remaining) = server.ending.remaining() {
        fields.add("shutdown_in_milliseconds", remaining.as_millis());
    } else if server.saving().is_some_and(|saving| saving.figures().is_last) {
        // There is no limit to the time that it may take; the end follows at once.
        fields.add("shutdown_in_milliseconds", 0);
    }
    fields.add("availability_zone", server.config.text(Directive::AvailabilityZone));
    let bind = server.config.text(Directive::Bind);
    let addresses: String =
        bind.split_ascii_whitespace().fold(String::new(), |all, word| all + ",bind=" + word);
    let listeners = [("tcp", ports.main), ("tls", ports.tls), ("readonly", ports.read_only)];
    for (index, (name, port)) in listeners.iter().filter(|(_, port)| *port != 0).enumerate() {
        fields.add(&format!("listener{index}"), format_args!("name={name}{addresses},port={port}"));
    }
}

fn os_name() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

fn executable() -> String {
    std::env::current_exe().map_or_else(|_| String::new(), |path| path.display().to_string())
}

/// Writes the section `tls`: certificates are not counted.
fn tls(_: &Context<'_>, fields: &mut Fields) {
    for certificate in ["server", "client", "ca"] {
        fields.add(&format!("tls_{certificate}_cert_serial"), "none");
        fields.add(&format!("tls_{certificate}_cert_expires_in_seconds"), 0);
    }
}

fn clients(cx: &Context<'_>, fields: &mut Fields) {
    let server = cx.server;
    let all = server.clients.all();
    let count = |wanted: &dyn Fn(&crate::shared::client::SharedClient) -> bool| {
        all.iter().filter(|client| wanted(client)).count()
    };
    let largest = |sizes: &dyn Fn(&crate::shared::client::SharedClient) -> usize| {
        all.iter().map(|client| sizes(client)).max().unwrap_or(0)
    };
    // Clients that are being closed count as gone, and replicas as none.
    let connected = count(&|client| !client.is_gone());
    fields.add("connected_clients", connected.saturating_sub(server.replication.replicas.count()));
    fields.add("cluster_connections", 0);
    fields.add("maxclients", server.config.int(Directive::Maxclients));
    fields.add("client_recent_max_input_buffer", largest(&|client| client.query_buffer[1].load(Relaxed)));
    fields.add("client_recent_max_output_buffer", largest(&|client| client.reply_buffer[1].load(Relaxed)));
    let waiting_for_pause = count(&|client| client.blocked.load(Relaxed));
    fields.add("blocked_clients", server.effects.waiting.client_count() + waiting_for_pause);
    fields.add("tracking_clients", server.effects.tracking.client_count());
    let subscribed = count(&|client| client.subscribed.iter().any(|count| count.load(Relaxed) > 0));
    fields.add("pubsub_clients", subscribed);
    fields.add("watching_clients", count(&|client| client.watched.load(Relaxed) > 0));
    let has_timeout = |client: &crate::shared::client::SharedClient| {
        client.waiter.lock().as_ref().is_some_and(|waiter| waiter.wait.until_ms.is_some())
    };
    fields.add("clients_in_timeout_table", count(&has_timeout));
    fields.add("total_watched_keys", server.effects.watches.key_count());
    let (waited_for, waited_for_loss) = server.effects.waiting.key_counts();
    fields.add("total_blocking_keys", waited_for);
    fields.add("total_blocking_keys_on_nokey", waited_for_loss);
    let paused = server.pause.in_force(cx.keys.now_ms);
    fields.add("paused_reason", paused.map_or("none", |pause| pause.purpose.word()));
    let actions = match paused {
        None => "none",
        Some(InForce { scope: Scope::All, .. }) => "all",
        Some(_) => "write",
    };
    fields.add("paused_actions", actions);
    let left_ms = paused.map_or(0, |pause| pause.end_ms.saturating_sub(cx.keys.now_ms));
    fields.add("paused_timeout_milliseconds", left_ms);
}

/// A size for people: three digits and a unit, such as `1.50M`.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.2}{}", UNITS[unit])
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Writes the memory of Lua's machines, which run scripts and functions alike: one that holds the functions
/// of libraries counts as theirs.
fn scripts(cx: &Context<'_>, fields: &mut Fields) {
    let scripting = &cx.server.scripting;
    let machines = scripting.memory_held();
    let evaluated = scripting.scripts.memory_bytes();
    let libraries = scripting.libraries.memory_bytes();
    fields.add("used_memory_lua", machines.scripts_bytes);
    fields.add("used_memory_vm_eval", machines.scripts_bytes);
    fields.add("used_memory_lua_human", human(machines.scripts_bytes as u64));
    fields.add("used_memory_scripts_eval", evaluated);
    fields.add("number_of_cached_scripts", scripting.scripts.count());
    fields.add("number_of_functions", scripting.libraries.function_count());
    fields.add("number_of_libraries", scripting.libraries.all().len());
    fields.add("used_memory_vm_functions", libraries + machines.with_functions_bytes);
    fields.add("used_memory_vm_total", machines.total());
    fields.add("used_memory_vm_total_human", human(machines.total() as u64));
    fields.add("used_memory_functions", libraries);
    fields.add("used_memory_scripts", evaluated + libraries);
    fields.add("used_memory_scripts_human", human((evaluated + libraries) as u64));
}

fn memory(cx: &Context<'_>, fields: &mut Fields) {
    let server = cx.server;
    let used = server.memory_use();
    let overhead: u64 = cx.keys.keyspace.all_made().map(|database| database.overhead_bytes() as u64).sum();
    let dataset = used.allocated.saturating_sub(overhead);
    let maximum = server.config.int(Directive::Maxmemory).max(0) as u64;
    fields.add("used_memory", used.allocated);
    fields.add("used_memory_human", human(used.allocated));
    fields.add("used_memory_rss", used.resident);
    fields.add("used_memory_rss_human", human(used.resident));
    fields.add("used_memory_peak", used.peak);
    fields.add("used_memory_peak_human", human(used.peak));
    fields.add("used_memory_peak_perc", format_args!("{:.2}%", ratio(used.allocated, used.peak) * 100.0));
    fields.add("used_memory_overhead", overhead);
    fields.add("used_memory_startup", server.identity.memory_startup);
    fields.add("used_memory_dataset", dataset);
    fields.add("used_memory_dataset_perc", format_args!("{:.2}%", ratio(dataset, used.allocated) * 100.0));
    fields.add("allocator_allocated", used.allocated);
    fields.add("allocator_active", used.resident);
    fields.add("allocator_resident", used.resident);
    fields.add("allocator_muzzy", 0);
    fields.add("total_system_memory", used.system);
    fields.add("total_system_memory_human", human(used.system));
    scripts(cx, fields);
    fields.add("maxmemory", maximum);
    fields.add("maxmemory_human", human(maximum));
    fields.add("maxmemory_policy", server.config.word(Directive::MaxmemoryPolicy));
    let fragmentation = ratio(used.resident, used.allocated);
    let waste = used.resident as i64 - used.allocated as i64;
    fields.add("allocator_frag_ratio", "1.00");
    fields.add("allocator_frag_bytes", 0);
    fields.add("allocator_rss_ratio", format_args!("{fragmentation:.2}"));
    fields.add("allocator_rss_bytes", waste);
    fields.add("rss_overhead_ratio", "1.00");
    fields.add("rss_overhead_bytes", 0);
    fields.add("mem_fragmentation_ratio", format_args!("{fragmentation:.2}"));
    fields.add("mem_fragmentation_bytes", waste);
    let client_bytes: usize = server
        .clients
        .all()
        .iter()
        .map(|client| {
            client.query_buffer[1].load(Relaxed)
                + client.reply_buffer[1].load(Relaxed)
                + client.outbox_size().0
        })
        .sum();
    fields.add("mem_not_counted_for_evict", server.journal().all_memory_bytes());
    let (backlog, beyond) = server.replication_memory();
    fields.add("mem_replication_backlog", backlog);
    fields.add("mem_total_replication_buffers", backlog + beyond);
    fields.add("mem_replicas_repl_buffer", beyond);
    fields.add("mem_replicas_spill_file", server.journal().spill_bytes());
    fields.add("mem_clients_slaves", 0);
    fields.add("mem_clients_normal", client_bytes);
    fields.zeros(&[
        "mem_cluster_links",
        "mem_cluster_slot_import",
        "mem_cluster_slot_export",
        "mem_aof_buffer",
    ]);
    fields.add("mem_allocator", crate::alloc::NAME);
    fields.zeros(&["mem_overhead_db_hashtable_rehashing", "active_defrag_running"]);
    fields.add("lazyfree_pending_objects", cx.keys.keyspace.reaper.pending());
    fields.add("lazyfreed_objects", cx.keys.keyspace.reaper.freed());
}

fn persistence(cx: &Context<'_>, fields: &mut Fields) {
    let loading = &cx.server.loading;
    let (keys_loaded, keys_expired) = loading.keys();
    fields.add("loading", u8::from(loading.is_active()));
    fields.add("async_loading", u8::from(loading.is_beside()));
    fields.zeros(&["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    fields.add("current_fork_perc", "0.00");
    let saves = cx.server.saving().map(|saving| saving.figures()).unwrap_or_default();
    fields.add("current_save_keys_processed", saves.keys.0);
    fields.add("current_save_keys_total", saves.keys.1);
    fields.add("rdb_changes_since_last_save", saves.changes);
    // A copy for replicas is one too.
    let is_copying = cx.server.replication.is_copying.load(Relaxed);
    fields.add("rdb_bgsave_in_progress", u8::from(saves.in_progress || is_copying));
    fields.add("rdb_last_save_time", saves.last_save_s);
    fields.add("rdb_last_bgsave_status", if saves.failed { "err" } else { "ok" });
    add_seconds(fields, "rdb_last_bgsave_time_sec", saves.last_took_s);
    add_seconds(fields, "rdb_current_bgsave_time_sec", saves.current_s);
    fields.add("rdb_saves", saves.saves);
    fields.add("rdb_last_cow_size", 0);
    fields.add("rdb_last_load_keys_expired", keys_expired);
    fields.add("rdb_last_load_keys_loaded", keys_loaded);
    let figures = cx.server.append_only().map(|append_only| append_only.figures()).unwrap_or_default();
    append_only(&figures, fields);
    fields.zeros(&["aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size"]);
    fields.add("slot_migration_fork_in_progress", 0);
    let backup = cx.server.backups().map(|backups| backups.status()).unwrap_or_default();
    fields.add("backup_in_progress", u8::from(backup.phase.is_in_progress()));
    if figures.enabled {
        fields.add("aof_current_size", figures.current_bytes);
        fields.add("aof_base_size", figures.base_bytes);
        fields.add("aof_pending_rewrite", u64::from(figures.scheduled));
        fields.add("aof_buffer_length", figures.unwritten_bytes);
        fields.add("aof_pending_bio_fsync", u64::from(figures.syncs));
        fields.add("aof_delayed_fsync", figures.delayed_syncs);
    }
    if let Some(progress) = loading.progress() {
        fields.add("loading_start_time", progress.started_ms / 1000);
        fields.add("loading_total_bytes", progress.total_bytes);
        fields.add("loading_rdb_used_mem", progress.used_memory);
        fields.add("loading_loaded_bytes", progress.loaded_bytes);
        fields.add("loading_loaded_perc", format_args!("{:.2}", progress.percent()));
        fields.add("loading_eta_seconds", progress.eta_s(cx.server.clock.now_ms()));
    }
}

fn append_only(figures: &Figures, fields: &mut Fields) {
    let seconds = |seconds: Option<u64>| seconds.map_or(-1, |seconds| seconds as i64);
    let status = |failed| if failed { "err" } else { "ok" };
    fields.add("aof_enabled", u64::from(figures.enabled));
    fields.add("aof_rewrite_in_progress", u64::from(figures.rewrites));
    fields.add("aof_rewrite_scheduled", u64::from(figures.scheduled));
    fields.add("aof_last_rewrite_time_sec", seconds(figures.last_rewrite_s));
    fields.add("aof_current_rewrite_time_sec", seconds(figures.current_rewrite_s));
    fields.add("aof_last_bgrewrite_status", status(figures.rewrite_failed));
    fields.add("aof_rewrites", figures.rewrite_count);
    fields.add("aof_rewrites_consecutive_failures", figures.failures);
    fields.add("aof_last_write_status", status(figures.write_failed));
}

/// Adds a number of seconds; -1 where there is none.
fn add_seconds(fields: &mut Fields, name: &'static str, seconds: Option<u64>) {
    match seconds {
        Some(seconds) => fields.add(name, seconds),
        None => fields.add(name, -1),
    }
}

fn stats(cx: &Context<'_>, fields: &mut Fields) {
    let server = cx.server;
    let sum = |counter| server.stats.sum(counter);
    let rates = server.upkeep.rates.read();
    let (lag_ms, lag_max_ms) = server.stats.expiry_lags();
    fields.add("total_connections_received", sum(Counter::ConnectionsReceived));
    fields.add("total_commands_processed", sum(Counter::CommandsProcessed));
    fields.add("instantaneous_ops_per_sec", rates.commands_per_s.round());
    fields.add("total_net_input_bytes", sum(Counter::NetInputBytes));
    fields.add("total_net_output_bytes", sum(Counter::NetOutputBytes));
    fields.add("total_net_repl_input_bytes", sum(Counter::NetReplInputBytes));
    fields.add("total_net_repl_output_bytes", sum(Counter::NetReplOutputBytes));
    fields.zeros(&["total_net_cluster_slot_import_bytes", "total_net_cluster_slot_export_bytes"]);
    let in_kb = |bytes: f64| format!("{:.2}", bytes / 1024.0);
    fields.add("instantaneous_input_kbps", in_kb(rates.input_bytes_per_s));
    fields.add("instantaneous_output_kbps", in_kb(rates.output_bytes_per_s));
    fields.add("instantaneous_input_repl_kbps", in_kb(rates.repl_input_bytes_per_s));
    fields.add("instantaneous_output_repl_kbps", in_kb(rates.repl_output_bytes_per_s));
    fields.add("rejected_connections", sum(Counter::RejectedConnections));
    let replicas = &server.replication.replicas;
    fields.add("sync_full", replicas.full_copies.load(Relaxed));
    fields.add("sync_partial_ok", replicas.continued.load(Relaxed));
    fields.add("sync_partial_err", replicas.not_continued.load(Relaxed));
    fields.add("expired_keys", sum(Counter::ExpiredKeys));
    fields.add("expired_fields", sum(Counter::ExpiredFields));
    fields.add("expired_stale_perc", "0.00");
    fields.add("expired_keys_with_volatile_items_stale_perc", "0.00");
    fields.add("expired_time_cap_reached_count", 0);
    fields.add("expire_cycle_cpu_milliseconds", sum(Counter::ExpireCycleNs) / 1_000_000);
    fields.add("expire_lag_milliseconds", lag_ms);
    fields.add("expire_lag_max_milliseconds", lag_max_ms);
    let next_ms = sweep::next_due_ms(cx.keys.keyspace);
    let next_in = if next_ms == u64::MAX { -1 } else { next_ms.saturating_sub(cx.keys.now_ms) as i64 };
    fields.add("expire_next_in_milliseconds", next_in);
    fields.add("evicted_keys", sum(Counter::EvictedKeys));
    fields.add("evicted_clients", sum(Counter::EvictedClients));
    fields.add("evicted_scripts", server.scripting.scripts.evicted());
    fields.add("scripts_ran_alone", server.scripting.ran_alone.load(Relaxed));
    let (over_ms, now_over_ms) = server.upkeep.time_over.ms(server.clock.monotonic_ns());
    fields.add("total_eviction_exceeded_time", over_ms);
    fields.add("current_eviction_exceeded_time", now_over_ms);
    fields.add("keyspace_hits", sum(Counter::KeyspaceHits));
    fields.add("keyspace_misses", sum(Counter::KeyspaceMisses));
    fields.add("pubsub_channels", server.pubsub.channel_count(Kind::Channel));
    fields.add("pubsub_patterns", server.pubsub.pattern_count());
    fields.add("pubsubshard_channels", server.pubsub.channel_count(Kind::Shard));
    fields.zeros(&["latest_fork_usec", "total_forks", "migrate_cached_sockets"]);
    fields.add("slave_expires_tracked_keys", server.following.own_volatile_keys());
    fields.zeros(&["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits"]);
    fields.zeros(&["active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time"]);
    let (tracked_keys, tracked_items) = server.effects.tracking.table_size();
    fields.add("tracking_total_keys", tracked_keys);
    fields.add("tracking_total_items", tracked_items);
    fields.add("tracking_total_prefixes", server.effects.tracking.prefix_count());
    fields.add("unexpected_error_replies", sum(Counter::UnexpectedErrorReplies));
    fields.add("total_error_replies", sum(Counter::ErrorReplies));
    fields.add("dump_payload_sanitizations", 0);
    fields.add("total_reads_processed", sum(Counter::ReadsProcessed));
    fields.add("total_writes_processed", sum(Counter::WritesProcessed));
    fields.zeros(&["io_threaded_reads_processed", "io_threaded_writes_processed"]);
    fields.add("io_threaded_freed_objects", cx.keys.keyspace.reaper.freed());
    fields.zeros(&["io_threaded_accept_processed", "io_threaded_poll_processed"]);
    fields.add("io_threaded_total_prefetch_batches", sum(Counter::PrefetchBatches));
    fields.add("io_threaded_total_prefetch_entries", sum(Counter::PrefetchEntries));
    fields.add("total_prefetch_batches", sum(Counter::PrefetchBatches));
    fields.add("total_prefetch_entries", sum(Counter::PrefetchEntries));
    fields.add("client_query_buffer_limit_disconnections", sum(Counter::QueryBufferDisconnections));
    fields.add("client_output_buffer_limit_disconnections", sum(Counter::OutputBufferDisconnections));
    fields.zeros(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    fields.zeros(&["eventloop_cycles", "eventloop_duration_sum"]);
    fields.add("eventloop_duration_cmd_sum", server.stats.total_command_ns() / 1000);
    fields.zeros(&["instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec"]);
    fields.add("acl_access_denied_auth", sum(Counter::DeniedAuth));
    fields.add("acl_access_denied_cmd", sum(Counter::DeniedCommand));
    fields.add("acl_access_denied_key", sum(Counter::DeniedKey));
    fields.add("acl_access_denied_channel", sum(Counter::DeniedChannel));
    fields.add("acl_access_denied_tls_cert", sum(Counter::DeniedCertificate));
    fields.add("acl_access_denied_db", sum(Counter::DeniedDatabase));
}

/// The lines of a replica about its primary.
fn link_to_primary(server: &Server, primary: &Primary, fields: &mut Fields) {
    let (link, offset, now_ms) = (server.following.link(), server.following.offset(), server.clock.now_ms());
    let is_up = link.state == LinkState::Connected;
    let ago_s = |at_ms: u64| if at_ms == 0 { -1 } else { (now_ms.saturating_sub(at_ms) / 1000) as i64 };
    fields.add("role", "slave");
    fields.add("master_host", &primary.host);
    fields.add("master_port", primary.port);
    fields.add("master_link_status", if is_up { "up" } else { "down" });
    fields.add("master_last_io_seconds_ago", if is_up { ago_s(link.heard_ms) } else { -1 });
    fields.add("master_sync_in_progress", u8::from(link.state == LinkState::Sync));
    fields.add("slave_read_repl_offset", server.following.received());
    fields.add("slave_repl_offset", offset);
    fields.zeros(&["replicas_repl_buffer_size", "replicas_repl_buffer_peak"]);
    if link.state == LinkState::Sync {
        let (total, read) = link.copy_bytes;
        let left = total.map(|total| total.saturating_sub(read));
        let percent =
            total.filter(|total| *total > 0).map_or(0.0, |total| read as f64 / total as f64 * 100.0);
        fields.add("master_sync_total_bytes", total.unwrap_or(0));
        fields.add("master_sync_read_bytes", read);
        fields.add("master_sync_left_bytes", left.map_or(-(read as i64), |left| left as i64));
        fields.add("master_sync_perc", format_args!("{percent:.2}"));
        fields.add("master_sync_last_io_seconds_ago", ago_s(link.heard_ms));
    }
    if !is_up {
        fields.add("master_link_down_since_seconds", ago_s(link.down_since_ms));
    }
    fields.add("slave_priority", server.config.int(Directive::ReplicaPriority));
    fields.add("slave_read_only", u8::from(server.config.flag(Directive::ReplicaReadOnly)));
    fields.add("replica_announced", u8::from(server.config.flag(Directive::ReplicaAnnounced)));
}

fn replication(cx: &Context<'_>, fields: &mut Fields) {
    let server = cx.server;
    let endpoint = server.endpoint(cx.client);
    let offset = server.replication_offset();
    if let Some(primary) = server.following.primary() {
        link_to_primary(server, &primary, fields);
        replicas(cx, offset, fields);
    } else if cx.client.door == Door::ReadOnly {
        fields.add("role", "slave");
        fields.add("master_host", &endpoint.ip);
        fields.add("master_port", endpoint.port);
        fields.add("master_link_status", "up");
        fields.add("master_last_io_seconds_ago", 0);
        fields.add("master_sync_in_progress", 0);
        fields.add("slave_read_repl_offset", offset);
        fields.add("slave_repl_offset", offset);
        fields.add("slave_priority", server.config.int(Directive::ReplicaPriority));
        fields.add("slave_read_only", 1);
        fields.add("replica_announced", 1);
        fields.add("connected_slaves", 0);
    } else {
        fields.add("role", "master");
        replicas(cx, offset, fields);
    }
    fields.add("master_failover_state", server.failover_step().word());
    let history = server.replication.history.read();
    fields.add("master_replid", history.id());
    fields.add("master_replid2", history.second().map_or_else(|| "0".repeat(40), |(id, _)| id.to_owned()));
    fields.add("master_repl_offset", offset);
    match history.second() {
        Some((_, offset)) => fields.add("second_repl_offset", offset),
        None => fields.add("second_repl_offset", -1),
    }
    fields.add("repl_backlog_active", u8::from(history.is_kept()));
    fields.add("repl_backlog_size", server.config.int(Directive::ReplBacklogSize));
    let (first_offset, kept) = if history.is_kept() {
        let (first, end) = history.kept(server.journal().first(), server.journal().end());
        (first + 1, end.saturating_sub(first))
    } else {
        (0, 0)
    };
    fields.add("repl_backlog_first_byte_offset", first_offset);
    fields.add("repl_backlog_histlen", kept);
    fields.add("repl_spill_size", server.config.unsigned(Directive::ReplSpillSize));
    fields.add("repl_spill_file_bytes", server.journal().spill_bytes());
}

/// The lines about replicas. Where none has ever followed, the read-only port is shown as one.
fn replicas(cx: &Context<'_>, offset: u64, fields: &mut Fields) {
    let server = cx.server;
    let all = server.replication.replicas.all();
    fields.add("connected_slaves", server.own_replicas() + all.len());
    if server.settings.min_replicas() > 0 {
        fields.add("min_slaves_good_slaves", server.good_replicas());
    }
    if server.own_replicas() > 0 {
        let endpoint = server.endpoint(cx.client);
        let (ip, port) = (&endpoint.ip, endpoint.read_only_port);
        fields.add("slave0", format_args!("ip={ip},port={port},state=online,offset={offset},lag=0"));
    }
    for (number, replica) in all.iter().enumerate() {
        fields.add(
            &format!("slave{number}"),
            format_args!(
                "ip={},port={},state={},offset={},lag={},type=replica",
                replica.shown_ip(),
                replica.announced.port,
                replica.stage_word(),
                replica.acknowledged(),
                replica.lag_s(server.clock.now_ms()),
            ),
        );
    }
    fields.add("replicas_waiting_psync", 0);
}

fn cpu(cx: &Context<'_>, fields: &mut Fields) {
    let (user_s, system_s) = processor_seconds("/proc/self/stat");
    fields.add("used_cpu_sys", format_args!("{system_s:.6}"));
    fields.add("used_cpu_user", format_args!("{user_s:.6}"));
    fields.add("used_cpu_sys_children", "0.000000");
    fields.add("used_cpu_user_children", "0.000000");
    let (user_s, system_s) = processor_seconds(&format!("/proc/self/task/{}/stat", std::process::id()));
    fields.add("used_cpu_sys_main_thread", format_args!("{system_s:.6}"));
    fields.add("used_cpu_user_main_thread", format_args!("{user_s:.6}"));
    // Commands run on all workers: this is their time together.
    let active_ns = cx.server.stats.sum(Counter::ActiveNs);
    fields.add("used_active_time_main_thread", format_args!("{:.6}", active_ns as f64 / 1e9));
}

/// Reads user and system seconds from a stat file of /proc, whose ticks are hundredths of a second on every
/// Linux.
fn processor_seconds(path: &str) -> (f64, f64) {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |index: usize| {
        behind_name
            .split_ascii_whitespace()
            .nth(index)
            .and_then(|word| word.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (field(11) / 100.0, field(12) / 100.0)
}

fn commandstats(cx: &Context<'_>, fields: &mut Fields) {
    for entry in cx.server.commands.entries() {
        let totals = cx.server.stats.command(entry.id);
        if totals.calls + totals.rejected + totals.failed == 0 {
            continue;
        }
        let usec = totals.total_ns / 1000;
        let per_call = ratio(totals.total_ns, totals.calls) / 1000.0;
        fields.add(
            &format!("cmdstat_{}", entry.full_name),
            format_args!(
                "calls={},usec={usec},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                totals.calls, totals.rejected, totals.failed
            ),
        );
    }
}

fn latencystats(cx: &Context<'_>, fields: &mut Fields) {
    if !cx.server.config.flag(Directive::LatencyTracking) {
        return;
    }
    let words = cx.server.config.words(Directive::LatencyTrackingInfoPercentiles);
    let percentiles: Vec<(&String, f64)> =
        words.iter().filter_map(|word| Some((word, word.parse().ok()?))).collect();
    let wanted: Vec<f64> = percentiles.iter().map(|(_, percentile)| *percentile).collect();
    for entry in cx.server.commands.entries() {
        let Some(latencies) = cx.server.stats.latency_ns(entry.id, &wanted) else { continue };
        let of_one = |((word, _), latency_ns): (&(&String, f64), u64)| {
            format!("p{word}={:.3}", latency_ns as f64 / 1000.0)
        };
        let all: Vec<String> = percentiles.iter().zip(latencies).map(of_one).collect();
        fields.add(&format!("latency_percentiles_usec_{}", entry.full_name), all.join(","));
    }
}

fn errorstats(cx: &Context<'_>, fields: &mut Fields) {
    for (code, count) in cx.server.stats.errors() {
        fields.add(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(cx: &Context<'_>, fields: &mut Fields) {
    fields.add("cluster_enabled", u8::from(cx.server.cluster.is_enabled()));
}

fn scripting_engines(cx: &Context<'_>, fields: &mut Fields) {
    let used = cx.server.scripting.memory_held().total();
    fields.add("engines_count", 1);
    fields.add("engines_total_used_memory", used);
    fields.add("engines_total_memory_overhead", 0);
    fields.add(
        "engine_0",
        format_args!("name=LUA,module=built-in,abi_version=4,used_memory={used},memory_overhead=0"),
    );
}

fn keyspace(cx: &Context<'_>, fields: &mut Fields) {
    for number in 0..cx.keys.keyspace.database_count() {
        let now_ms = cx.keys.now_ms;
        let counts = cx.keys.with_database(number, |database| {
            let average_ttl_ms = database.average_ttl_ms(now_ms);
            (database.len(), database.volatile_len(), average_ttl_ms, database.field_ends_len())
        });
        if let Some((keys, volatile, average_ttl_ms, field_ends)) = counts
            && keys > 0
        {
            fields.add(
                &format!("db{number}"),
                format_args!(
                    "keys={keys},expires={volatile},avg_ttl={average_ttl_ms},keys_with_volatile_items={field_ends}"
                ),
            );
        }
    }
}
