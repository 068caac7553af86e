//! The integration tests: whole servers in this process, spoken to over their sockets.
//!
//! Time stands still in most of them: servers get a clock that moves only by hand, so nothing here sleeps.

mod harness;
mod value;
mod wire;

mod acl;
mod acl_checks;
mod acl_rules;
mod bitmap;
mod client;
mod cluster;
mod config;
mod connection;
mod coverage;
mod debug;
mod differences;
mod differential;
mod differential_acl;
mod docs;
mod doors;
mod expire;
mod generic;
mod geo;
mod hash;
mod hostile_scripts;
mod hyperloglog;
mod lifecycle;
mod limits;
mod list;
mod locks;
mod maxmemory;
mod migrate;
mod notifications;
mod observe;
mod protocol;
mod pubsub;
mod random_transactions;
mod readonly;
mod regression;
mod rows;
mod scripting;
mod server;
mod set;
mod sort;
mod straight;
mod stream;
mod stream_consumers;
mod string;
mod tls;
mod tracking;
mod transaction;
mod waiting;
