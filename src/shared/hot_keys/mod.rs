//! Which keys clients use most: a window of sampled accesses that is closed again and again (Valkey's HOTKEYS
//! GET), and sessions that weigh keys by time and bytes (Redis's HOTKEYS START).
//!
//! Each worker has sketches of its own ([`SpaceSaving`]), which are merged when they are read. Without either
//! of the two, a command costs one branch. With sampling, a worker counts down to the next access that is
//! taken, so all others cost a subtraction.

mod sampler;
mod session;
mod window;

use crate::primitives::space_saving::SpaceSaving;
pub use sampler::Sampler;
pub use session::{Report, Session, SessionOptions, Shares, Use};
pub use window::{HotKey, LastWindow, Windows};

/// Keys longer than this are left out: what a sketch holds is not to grow with them.
pub const KEY_MAX: usize = 4096;

/// Counters of a sketch for the `top` heaviest keys: the more there are, the smaller the error.
pub fn counters_for(top: usize) -> usize {
    const FEW: usize = 256;
    (4 * top).max(FEW)
}

/// Adds to the weight of a key, unless it is too long.
fn add(sketch: &mut SpaceSaving, key: &[u8], weight: u64) {
    if key.len() <= KEY_MAX {
        sketch.add(key, weight);
    }
}
