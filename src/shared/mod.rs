//! What clients, commands and sockets share and what needs no engine: the clients as others see them,
//! channels, the clock, what is counted, logged and paused.

pub mod client;
pub(crate) mod clients;
pub mod clock;
pub(crate) mod collection_limits;
pub(crate) mod commandlog;
pub mod durability;
pub(crate) mod findings;
pub mod hot_keys;
pub mod http;
pub(crate) mod lags;
pub(crate) mod latency;
pub mod loading;
pub(crate) mod lock_waits;
pub(crate) mod ordered;
pub mod pause;
pub(crate) mod processor;
pub(crate) mod pubsub;
pub(crate) mod settings;
pub(crate) mod simulation;
pub mod slow_requests;
pub(crate) mod stats;
pub(crate) mod tracker;
pub(crate) mod waiter;
