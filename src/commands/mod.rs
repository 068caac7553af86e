//! The commands, in a folder for each group that COMMAND shows. Each file has a list of entries, and the
//! function of each entry below the list. What several groups need stands in [`shared`].

pub(crate) mod bitmap;
pub(crate) mod cluster;
pub(crate) mod connection;
pub(crate) mod generic;
pub(crate) mod geo;
pub(crate) mod hash;
pub(crate) mod hyperloglog;
pub(crate) mod list;
pub(crate) mod pubsub;
pub(crate) mod scripting;
pub(crate) mod server;
pub(crate) mod set;
pub(crate) mod shared;
pub(crate) mod sorted_set;
pub(crate) mod stream;
pub(crate) mod string;
pub(crate) mod transactions;

use crate::engine::command::Command;

/// The lists of all files, of which the table of commands is made. The order is that of COMMAND LIST.
pub fn groups() -> Vec<&'static [Command]> {
    vec![
        string::value::COMMANDS,
        string::set::COMMANDS,
        string::compare::COMMANDS,
        string::counter::COMMANDS,
        generic::keys::COMMANDS,
        generic::scan::COMMANDS,
        server::databases::COMMANDS,
        server::failover::COMMANDS,
        server::replicaof::COMMANDS,
        generic::expire::COMMANDS,
        generic::bless::COMMANDS,
        generic::dump::COMMANDS,
        generic::migrate::COMMANDS,
        set::members::COMMANDS,
        set::algebra::COMMANDS,
        set::expiry::COMMANDS,
        set::add_ending::COMMANDS,
        hash::fields::COMMANDS,
        hash::number::COMMANDS,
        hash::random::COMMANDS,
        hash::expiry::COMMANDS,
        hash::fields_with_expiry::COMMANDS,
        hash::import::COMMANDS,
        list::elements::COMMANDS,
        generic::sort::COMMANDS,
        list::blocking::COMMANDS,
        list::moving::COMMANDS,
        sorted_set::members::COMMANDS,
        sorted_set::pop::COMMANDS,
        sorted_set::blocking::COMMANDS,
        sorted_set::moving::COMMANDS,
        sorted_set::range::COMMANDS,
        sorted_set::algebra::COMMANDS,
        geo::points::COMMANDS,
        geo::search::COMMANDS,
        stream::entries::COMMANDS,
        stream::delete::COMMANDS,
        stream::group::COMMANDS,
        stream::read::COMMANDS,
        stream::claim::COMMANDS,
        stream::nack::COMMANDS,
        stream::producers::COMMANDS,
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
        server::replication::COMMANDS,
        server::saving::COMMANDS,
        server::append_only::COMMANDS,
        server::backup::COMMANDS,
        scripting::eval::COMMANDS,
        scripting::function::COMMANDS,
        transactions::COMMANDS,
        generic::wait::COMMANDS,
        cluster::nodes::COMMANDS,
        cluster::scan::COMMANDS,
        server::commandlog::COMMANDS,
        server::module::COMMANDS,
        server::monitor::COMMANDS,
        server::latency::COMMANDS,
        server::memory::COMMANDS,
        server::hotkeys::COMMANDS,
        server::kvarts::entries::COMMANDS,
    ]
}
