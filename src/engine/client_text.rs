//! How CLIENT LIST, CLIENT INFO and ACL LOG describe a client.

use std::sync::atomic::Ordering::Relaxed;

use super::Server;
use crate::shared::client::SharedClient;

/// Numbers of subscriptions to channels, patterns and shard channels.
pub fn subscriptions_of(client: &SharedClient) -> [usize; 3] {
    [0, 1, 2].map(|index| client.subscribed[index].load(Relaxed))
}

/// The letters of the `capa` field.
pub fn capabilities_of(client: &SharedClient) -> &'static str {
    if client.capa_redirect.load(Relaxed) { "r" } else { "" }
}

/// The letters of the `flags` field.
pub fn flags_of(client: &SharedClient) -> String {
    let mut flags = String::new();
    let mut add = |wanted: bool, letter| {
        if wanted {
            flags.push(letter);
        }
    };
    add(client.replica.load(Relaxed), 'S');
    add(client.primary.load(Relaxed), 'M');
    add(client.monitor.load(Relaxed), 'O');
    add(subscriptions_of(client).iter().any(|count| *count > 0), 'P');
    let tracker = client.tracker.lock().clone();
    add(tracker.is_some(), 't');
    add(tracker.as_ref().is_some_and(|tracker| tracker.is_broken()), 'R');
    add(tracker.as_ref().is_some_and(|tracker| tracker.broadcast), 'B');
    add(client.queued.load(Relaxed) >= 0, 'x');
    add(client.blocked.load(Relaxed) || client.waiter.lock().is_some(), 'b');
    add(client.is_unix(), 'U');
    add(client.readonly.load(Relaxed), 'r');
    add(client.no_evict.load(Relaxed), 'e');
    add(client.no_touch.load(Relaxed), 'T');
    add(client.import_source.load(Relaxed), 'I');
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// The id of the client that hears of this one's invalid keys: -1 while it tracks none, 0 for itself.
pub fn redirect_of(client: &SharedClient) -> i64 {
    match &*client.tracker.lock() {
        None => -1,
        Some(tracker) => tracker.redirect.as_ref().map_or(0, |redirect| redirect.id as i64),
    }
}

/// The name of its user: of a primary, what Redis calls it.
fn user_of(client: &SharedClient) -> String {
    if client.primary.load(Relaxed) {
        return "(superuser)".to_owned();
    }
    String::from_utf8_lossy(&client.user.lock().name).into_owned()
}

/// One line of CLIENT LIST, without its end.
pub fn describe(server: &Server, client: &SharedClient, now_ms: u64) -> String {
    let names = client.names.lock().clone();
    let [channels, patterns, shard] = subscriptions_of(client);
    let (waiting_bytes, waiting_messages) = client.outbox_size();
    let [query_len, query_capacity] = [0, 1].map(|index| client.query_buffer[index].load(Relaxed));
    let [reply_len, reply_capacity] = [0, 1].map(|index| client.reply_buffer[index].load(Relaxed));
    let last = client.last_command.load(Relaxed) as usize;
    let command = server.commands.entries().get(last).map_or("NULL", |entry| {
        let shown = &server.commands.entries()[entry.counted_as];
        shown.full_name.as_str()
    });
    let output_memory = waiting_bytes + reply_len;
    let events = if output_memory > 0 { "rw" } else { "r" };
    let request_memory = client.waiter.lock().as_ref().map_or(0, |waiter| waiter.request.memory_bytes());
    let queued = client.queued.load(Relaxed);
    let queued_memory = if queued >= 0 { client.queued_bytes.load(Relaxed) } else { 0 };
    let watched = client.watched.load(Relaxed);
    let total_memory = client.memory_bytes();
    let query_free = query_capacity.saturating_sub(query_len);
    let age_s = now_ms.saturating_sub(client.created_ms) / 1000;
    let idle_s = now_ms.saturating_sub(client.active_ms.load(Relaxed)) / 1000;
    format!(
        "id={} addr={} laddr={} fd={} name={} age={age_s} idle={idle_s} flags={} capa={} db={} sub={channels} \
         psub={patterns} ssub={shard} multi={queued} watch={watched} qbuf={query_len} qbuf-free={query_free} argv-mem={request_memory} \
         multi-mem={queued_memory} \
         rbs={reply_capacity} rbp={reply_capacity} obl={reply_len} oll={waiting_messages} omem={output_memory} \
         tot-mem={total_memory} events={events} cmd={command} user={} redir={} resp={} lib-name={} lib-ver={} \
         tot-net-in={} tot-net-out={} tot-cmds={}",
        client.id,
        client.address,
        client.local_address,
        client.fd,
        names.name,
        flags_of(client),
        capabilities_of(client),
        client.database.load(Relaxed),
        user_of(client),
        redirect_of(client),
        client.protocol.load(Relaxed),
        names.lib_name,
        names.lib_version,
        client.input_bytes.load(Relaxed),
        client.output_bytes.load(Relaxed),
        client.commands.load(Relaxed),
    )
}
