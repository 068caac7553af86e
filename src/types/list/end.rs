//! The two ends of a list.

/// One of the two ends of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where LPUSH pushes.
    Head,
    /// Where RPUSH pushes.
    Tail,
}
