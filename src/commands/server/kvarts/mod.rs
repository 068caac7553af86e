//! KVARTS: what this server tells of itself that neither Redis nor Valkey does.

mod big_keys;
mod clock;
mod compat;
pub mod entries;
mod health;
mod prefixes;
mod simulate;
mod slow;
