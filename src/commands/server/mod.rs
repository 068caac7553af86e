//! The server: its configuration, users, statistics and insides.

pub mod acl;
mod advice;
pub mod append_only;
pub mod backup;
pub mod command;
pub mod commandlog;
pub mod config;
pub mod databases;
pub mod debug;
mod debug_tables;
pub mod failover;
pub mod hotkeys;
pub mod info;
pub mod kvarts;
pub mod latency;
pub mod latency_text;
pub mod memory;
pub mod module;
pub mod monitor;
pub mod process;
pub mod replicaof;
pub(crate) mod replication;
pub mod saving;
