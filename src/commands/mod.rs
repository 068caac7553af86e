//! The commands, in a folder for each group that COMMAND shows. Each file has a list of entries, and the
//! function of each entry below the list. What several groups need stands in [`shared`].

pub mod bitmap;
pub mod cluster;
pub mod connection;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod list;
pub mod pubsub;
pub mod scripting;
pub mod server;
pub mod set;
pub mod shared;
pub mod sorted_set;
pub mod stream;
pub mod string;
pub mod transactions;

use crate::engine::command::Command;

/// The lists of all files, of which the table of commands is made. The order is that of COMMAND LIST.
pub fn groups() -> Vec<&'static [Command]> {
    vec![
        string::value::COMMANDS,
        string::set::COMMANDS,
        generic::keys::COMMANDS,
        generic::scan::COMMANDS,
        server::databases::COMMANDS,
        generic::expire::COMMANDS,
        generic::dump::COMMANDS,
        generic::migrate::COMMANDS,
        set::members::COMMANDS,
        set::algebra::COMMANDS,
        hash::fields::COMMANDS,
        hash::number::COMMANDS,
        hash::random::COMMANDS,
        hash::expiry::COMMANDS,
        hash::fields_with_expiry::COMMANDS,
        list::elements::COMMANDS,
        generic::sort::COMMANDS,
        list::blocking::COMMANDS,
        sorted_set::members::COMMANDS,
        sorted_set::pop::COMMANDS,
        sorted_set::blocking::COMMANDS,
        sorted_set::range::COMMANDS,
        sorted_set::algebra::COMMANDS,
        geo::points::COMMANDS,
        geo::search::COMMANDS,
        stream::entries::COMMANDS,
        stream::group::COMMANDS,
        stream::read::COMMANDS,
        stream::claim::COMMANDS,
        stream::info::COMMANDS,
        bitmap::bit::COMMANDS,
        bitmap::bitfield::COMMANDS,
        hyperloglog::COMMANDS,
        generic::object::COMMANDS,
        server::debug::COMMANDS,
        pubsub::COMMANDS,
        connection::session::COMMANDS,
        server::acl::COMMANDS,
        connection::client::COMMANDS,
        server::command::COMMANDS,
        server::config::COMMANDS,
        server::info::COMMANDS,
        server::process::COMMANDS,
        scripting::eval::COMMANDS,
        scripting::function::COMMANDS,
        transactions::COMMANDS,
        generic::wait::COMMANDS,
        cluster::COMMANDS,
        server::commandlog::COMMANDS,
        server::module::COMMANDS,
        server::monitor::COMMANDS,
        server::latency::COMMANDS,
        server::memory::COMMANDS,
    ]
}
