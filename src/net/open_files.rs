//! The limit of open files, which is the process's: each client takes one.

use rlimit::Resource;

/// Files that are open besides clients: listening sockets, the log, files of data, the runtime's own (Redis's
/// figure).
const RESERVED: u64 = 32;

/// Sees to it that so many clients can be connected at once, raising the limit of open files where the system
/// allows it. Answers how many can be.
pub(super) fn make_room_for(clients: u64) -> u64 {
    let needed = clients.saturating_add(RESERVED);
    let Ok((soft, hard)) = Resource::NOFILE.get() else { return clients };
    if soft >= needed {
        return clients;
    }
    // Beyond the hard limit only root may go; in a container not even root.
    let raised = Resource::NOFILE.set(needed, hard.max(needed)).is_ok()
        || Resource::NOFILE.set(needed.min(hard), hard).is_ok();
    let limit = match Resource::NOFILE.get() {
        Ok((limit, _)) if raised => limit,
        _ => soft,
    };
    clients.min(limit.saturating_sub(RESERVED).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only what the limit allows anyway: raising it would change this process for other tests.
    #[test]
    fn what_fits_is_not_changed() {
        let (soft, hard) = Resource::NOFILE.get().expect("a limit");
        assert_eq!(make_room_for(soft - RESERVED), soft - RESERVED);
        assert_eq!(make_room_for(1), 1);
        assert_eq!(Resource::NOFILE.get().expect("a limit"), (soft, hard));
    }
}
