//! Replication: the history that this server's data are of, the replicas that follow it, the copies of all
//! data with which they begin, and what a replica says to its primary ([`handshake`]).
//!
//! Pure state: the journal holds the bytes, `engine` decides and tells, `net` moves bytes to sockets, and
//! `persistence` makes copies. Positions are those of the journal; *offsets* are what replicas count: the
//! offset of a position is the number of bytes of the stream before it, since the stream's beginning at
//! whichever server that was.

mod absent;
mod announced;
mod asking;
mod copies;
mod copying;
pub mod failover;
pub mod follower;
pub mod handshake;
mod history;
mod intake;
mod limits;
mod link;
mod replica;
mod replicas;
mod standing;

pub use absent::Absent;
pub use announced::Announced;
pub use asking::{Asked, refusal};
pub use copies::{Copy, CopyEnd, CopyRead};
pub use copying::Follower;
pub use history::{Answer, History, StreamPlace, Unfit};
pub use intake::{Due, Intake};
pub use limits::Limits;
pub use link::{Link, Patience, Step};
pub use replica::{Replica, Stage, Start};
pub use replicas::{Good, Replicas};
pub use standing::Standing;
