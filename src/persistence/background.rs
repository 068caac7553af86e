//! What threads that write all data do so that clients do not wait for them.

use crate::config::{Config, Directive};

/// Bytes after which a file is synced while clients wait for syncs of another.
const SYNC_EACH_BESIDE_WAITING: u64 = 256 << 10;

/// The steps by which a thread that writes all data stands behind workers, on the scale of `nice`: at 5 it gets
/// a quarter of a processor that a worker wants too.
#[cfg(target_os = "linux")]
const STEPS: i32 = 5;

/// Has the calling thread leave the processor to workers that want it too, for as long as it lives.
///
/// Without that, a request that comes while all data are written waits for the writing thread's turn of some
/// milliseconds. Only Linux has priorities of single threads; elsewhere nothing is done.
pub(super) fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(STEPS) {
        tracing::debug!("the priority of a thread cannot be lowered: {error}");
    }
}

/// The bytes after which a file with all data is synced while it is written: as many as usual, or fewer with
/// `appendfsync always`. There each sync of the append-only file stands in the disk's queue behind what was
/// asked for before it.
pub(super) fn sync_each(config: &Config, usual: u64) -> u64 {
    if config.flag(Directive::Appendonly) && config.word(Directive::Appendfsync) == "always" {
        usual.min(SYNC_EACH_BESIDE_WAITING)
    } else {
        usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thread that gives way stands behind others by so many steps, and no other thread does.
    #[cfg(target_os = "linux")]
    #[test]
    fn one_thread_gives_way() {
        let of_this_thread = || rustix::process::nice(0).expect("it is told");
        let before = of_this_thread();
        let other = std::thread::spawn(move || {
            give_way();
            of_this_thread()
        });
        assert_eq!(other.join().expect("it ends"), (before + STEPS).min(19));
        assert_eq!(of_this_thread(), before);
    }

    /// Steps are small only while clients wait for syncs.
    #[test]
    fn steps_are_small_beside_waiting_clients() {
        for (appendonly, policy, expected) in
            [("yes", "always", 256 << 10), ("yes", "everysec", 4 << 20), ("no", "always", 4 << 20)]
        {
            let config = Config::from_pairs([("appendonly", appendonly), ("appendfsync", policy)]);
            let config = config.expect("valid pairs");
            assert_eq!(sync_each(&config, 4 << 20), expected, "{appendonly} {policy}");
            assert_eq!(sync_each(&config, 1000), 1000);
        }
    }
}
