//! Kvarts: an in-memory server that speaks the Redis protocol.
//!
//! ARCHITECTURE.md describes how the rooms below fit together. There is no process-wide state: any number of
//! servers can run in one process. Public is what the program, tests, benches and fuzz targets use; all else
//! is the crate's own, so that rustc reports what nobody calls.
#![deny(unsafe_code)]

pub(crate) mod acl;
pub mod alloc;
pub mod aof;
pub(crate) mod cluster;
pub mod command;
pub mod commands;
pub mod config;
pub(crate) mod effects;
pub mod engine;
pub(crate) mod error;
pub mod figures;
pub(crate) mod glob;
pub(crate) mod http;
pub mod journal;
pub mod keyspace;
pub mod logging;
pub mod lua;
pub(crate) mod net;
pub mod persistence;
pub mod primitives;
pub mod profile;
pub(crate) mod random;
pub mod rdb;
pub mod replication;
pub mod resp;
pub(crate) mod run;
pub(crate) mod scripting;
pub mod shared;
pub mod types;
pub mod worker;

pub use net::tls::AUTHORITY_FILE;
pub use run::health_check::run as check_health;
pub use run::tls_export::run as export_tls;
pub use run::{Handle, StartError, start, start_loading, start_with_files, start_with_signals};

/// The Redis version whose commands and replies are spoken, as INFO and HELLO tell clients that look features
/// up by it.
pub const REDIS_VERSION: &str = "7.2.4";

/// The version of Kvarts.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
