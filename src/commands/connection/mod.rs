//! What a connection says about itself, and about other connections.

pub mod client;
pub mod client_filter;
pub mod session;
pub mod tracking;
