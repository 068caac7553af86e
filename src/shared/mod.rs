//! What clients, commands and sockets share and what needs no engine: the clients as others see them,
//! channels, the clock, what is counted, logged and paused.

pub mod client;
pub mod clients;
pub mod clock;
pub mod collection_limits;
pub mod commandlog;
pub mod latency;
pub mod ordered;
pub mod pause;
pub mod pubsub;
pub mod settings;
pub mod stats;
pub mod tracker;
pub mod waiter;
