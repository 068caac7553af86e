//! KVARTS: what this server tells of itself that neither Redis nor Valkey does.

pub mod entries;
mod health;
