//! The Redis serialization protocol: requests in, replies out. Knows neither sockets nor the server.

pub mod decode;
pub(crate) mod encode;

/// Which version of the protocol a client speaks (HELLO).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Version {
    /// RESP2, what a connection starts with.
    #[default]
    Resp2,
    /// RESP3: maps, sets, doubles, booleans, pushes.
    Resp3,
}
