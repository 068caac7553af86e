//! The commands, a file a group. Each file has a list of its entries, and every function stands below its entry's list.

pub mod client;
pub mod client_filter;
pub mod cluster;
pub mod command;
pub mod connection;
pub mod expire;
pub mod generic;
pub mod help;
pub mod info;
pub mod lcs;
pub mod object;
pub mod pubsub;
pub mod server;
pub mod string;
pub mod string_set;

use crate::command::Command;

/// All groups: the one table of commands is made of these.
pub fn groups() -> Vec<&'static [Command]> {
    vec![
        string::COMMANDS,
        string_set::COMMANDS,
        generic::COMMANDS,
        expire::COMMANDS,
        object::COMMANDS,
        pubsub::COMMANDS,
        connection::COMMANDS,
        client::COMMANDS,
        command::COMMANDS,
        server::COMMANDS,
        cluster::COMMANDS,
    ]
}
