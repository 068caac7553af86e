//! The commands, a file a group. Each file has a list of its entries, and every function stands below its entry's list.

pub mod acl;
pub mod bitfield;
pub mod bitmap;
pub mod client;
pub mod client_filter;
pub mod cluster;
pub mod collection;
pub mod command;
pub mod commandlog;
pub mod connection;
pub mod debug;
mod debug_tables;
pub mod dump;
pub mod expire;
pub mod function;
pub mod generic;
pub mod geo;
pub mod geo_search;
pub mod hash;
pub mod hash_ex;
pub mod hash_field_expiry;
pub mod hash_number;
pub mod hash_random;
pub mod help;
pub mod hyperloglog;
pub mod info;
pub mod latency;
pub mod latency_text;
pub mod lcs;
pub mod list;
pub mod list_waiting;
pub mod memory;
pub mod migrate;
pub mod module;
pub mod monitor;
pub mod object;
pub mod pubsub;
pub mod scripting;
pub mod server;
pub mod set;
pub mod set_algebra;
pub mod sort;
pub mod stream;
pub mod stream_claim;
pub mod stream_group;
pub mod stream_info;
pub mod stream_read;
pub mod string;
pub mod string_set;
pub mod tracking;
pub mod transaction;
pub mod wait;
pub mod zset;
pub mod zset_algebra;
pub mod zset_pop;
pub mod zset_range;
pub mod zset_waiting;
pub mod zset_window;

use crate::command::Command;

/// All groups: the one table of commands is made of these.
pub fn groups() -> Vec<&'static [Command]> {
    vec![
        string::COMMANDS,
        string_set::COMMANDS,
        generic::COMMANDS,
        expire::COMMANDS,
        dump::COMMANDS,
        migrate::COMMANDS,
        set::COMMANDS,
        set_algebra::COMMANDS,
        hash::COMMANDS,
        hash_number::COMMANDS,
        hash_random::COMMANDS,
        hash_field_expiry::COMMANDS,
        hash_ex::COMMANDS,
        list::COMMANDS,
        sort::COMMANDS,
        list_waiting::COMMANDS,
        zset::COMMANDS,
        zset_pop::COMMANDS,
        zset_waiting::COMMANDS,
        zset_range::COMMANDS,
        zset_algebra::COMMANDS,
        geo::COMMANDS,
        geo_search::COMMANDS,
        stream::COMMANDS,
        stream_group::COMMANDS,
        stream_read::COMMANDS,
        stream_claim::COMMANDS,
        stream_info::COMMANDS,
        bitmap::COMMANDS,
        bitfield::COMMANDS,
        hyperloglog::COMMANDS,
        object::COMMANDS,
        debug::COMMANDS,
        pubsub::COMMANDS,
        connection::COMMANDS,
        acl::COMMANDS,
        client::COMMANDS,
        command::COMMANDS,
        server::COMMANDS,
        scripting::COMMANDS,
        function::COMMANDS,
        transaction::COMMANDS,
        wait::COMMANDS,
        cluster::COMMANDS,
        commandlog::COMMANDS,
        module::COMMANDS,
        monitor::COMMANDS,
        latency::COMMANDS,
        memory::COMMANDS,
    ]
}
