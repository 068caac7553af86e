//! KVARTS: what this server tells of itself that neither Redis nor Valkey does.

mod clock;
pub mod entries;
mod health;
