//! [`Failover`]: a primary that hands its role to one of its replicas, step by step.

use std::ops::Range;

/// A place that a replica is found at: the address it is known by, and its port.
pub type Place = (String, u16);

/// For how long requests are held, in milliseconds, while another server is to take over and may still refuse: then
/// they run here.
const HELD_MS: u64 = 1000;

/// How far a failover is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// There is none.
    #[default]
    None,
    /// Nothing changes any more, and a replica that has everything is waited for.
    WaitsForSync,
    /// This server follows the other, which is to take over.
    InProgress,
}

impl Step {
    /// INFO's word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "no-failover",
            Self::WaitsForSync => "waiting-for-sync",
            Self::InProgress => "failover-in-progress",
        }
    }
}

/// A failover that is asked for or under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failover {
    step: Step,
    /// The replica that takes over; `None` for whichever has everything first.
    target: Option<Place>,
    /// When it is given up, or forced, in milliseconds of Unix time.
    end_ms: Option<u64>,
    /// Whether the target takes over at that time though it does not have everything.
    is_forced: bool,
    /// When requests that are held hear what this server has become, in milliseconds of Unix time; `None` where
    /// they have.
    release_ms: Option<u64>,
    /// The offsets before and behind the question to replicas what they have, the last one.
    asked: Range<u64>,
}

/// What to do after a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// Look again.
    Wait,
    /// Follow this server, and have it take over.
    Follow(Place),
    /// Give up: no replica has had everything in time.
    TooLate,
}

impl Failover {
    /// How far it is.
    pub const fn step(&self) -> Step {
        self.step
    }

    /// The replica that takes over, as far as that is known.
    pub fn target(&self) -> Option<&Place> {
        self.target.as_ref()
    }

    /// Begins.
    pub fn begin(&mut self, target: Option<Place>, end_ms: Option<u64>, is_forced: bool) {
        *self = Self { step: Step::WaitsForSync, target, end_ms, is_forced, release_ms: None, asked: 0..0 };
    }

    /// Whether replicas are to be asked what they have: they have not been since the stream has come to `offset`.
    pub fn asks(&self, offset: u64) -> bool {
        self.step == Step::WaitsForSync && self.asked.end != offset
    }

    /// Notes that replicas were asked by what stands in the stream between these offsets.
    pub fn has_asked(&mut self, offsets: Range<u64>) {
        self.asked = offsets;
    }

    /// The offset that a replica must have acknowledged to have everything, where the stream has come to
    /// `offset`: the question itself needs not be answered for.
    pub fn needed(&self, offset: u64) -> u64 {
        if self.asked.end == offset { self.asked.start } else { offset }
    }

    /// Looks whether the target, or any replica where none was named, has everything up to `offset`, but for the
    /// question itself: Valkey and Redis answer it before they count it. `replicas` are those that follow, with
    /// what they have acknowledged.
    pub fn look(&mut self, now_ms: u64, offset: u64, replicas: impl Iterator<Item = (Place, u64)>) -> Look {
        if self.step != Step::WaitsForSync {
            return Look::Wait;
        }
        let is_over = self.is_over(now_ms);
        let offset = self.needed(offset);
        let found = match &self.target {
            Some(target) if is_over && self.is_forced => Some(target.clone()),
            _ if is_over => return Look::TooLate,
            target => replicas
                .filter(|(_, acknowledged)| *acknowledged >= offset)
                .map(|(place, _)| place)
                .find(|place| target.as_ref().is_none_or(|target| target == place)),
        };
        let Some(place) = found else { return Look::Wait };
        (self.step, self.target) = (Step::InProgress, Some(place.clone()));
        self.release_ms = Some(now_ms.saturating_add(HELD_MS));
        Look::Follow(place)
    }

    /// Whether requests that are held are to be judged again: it has been under way for long, and the other server
    /// may be one that does not answer. Once.
    pub fn releases(&mut self, now_ms: u64) -> bool {
        self.release_ms.take_if(|release_ms| now_ms >= *release_ms).is_some()
    }

    /// Whether its time is over.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.end_ms.is_some_and(|end_ms| now_ms >= end_ms)
    }

    /// Ends it, done or given up.
    pub fn end(&mut self) {
        *self = Self::default();
    }
}

/// Why a server does not take over that is asked to, with the id of a history; `None` where it does.
pub fn refusal_to_take_over(is_replica: bool, asked_id: &[u8], own_id: &str) -> Option<&'static str> {
    match () {
        () if !is_replica => Some("ERR PSYNC FAILOVER can't be sent to a master."),
        () if !asked_id.eq_ignore_ascii_case(own_id.as_bytes()) => {
            Some("ERR PSYNC FAILOVER replid must match my replid.")
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(port: u16) -> Place {
        ("127.0.0.1".to_owned(), port)
    }

    fn look(failover: &mut Failover, now_ms: u64, acknowledged: &[(u16, u64)]) -> Look {
        failover.look(now_ms, 100, acknowledged.iter().map(|(port, offset)| (place(*port), *offset)))
    }

    #[test]
    fn whichever_has_everything_first_takes_over() {
        let mut failover = Failover::default();
        assert_eq!(look(&mut failover, 0, &[(1, 100)]), Look::Wait, "nobody asked");
        assert!(!failover.asks(100));
        failover.begin(None, None, false);
        assert_eq!((failover.step().word(), failover.target()), ("waiting-for-sync", None));
        assert_eq!(look(&mut failover, 0, &[(1, 99), (2, 98)]), Look::Wait);
        assert_eq!(look(&mut failover, u64::MAX, &[(1, 99), (2, 100)]), Look::Follow(place(2)));
        assert_eq!((failover.step().word(), failover.target()), ("failover-in-progress", Some(&place(2))));
        assert_eq!(look(&mut failover, 0, &[(1, 100)]), Look::Wait, "once is enough");
        failover.end();
        assert_eq!((failover.step().word(), failover.target()), ("no-failover", None));
    }

    #[test]
    fn the_target_has_until_its_time_is_over() {
        let mut failover = Failover::default();
        failover.begin(Some(place(1)), Some(50), false);
        assert_eq!(look(&mut failover, 49, &[(1, 99), (2, 100)]), Look::Wait, "another does not do");
        assert_eq!(look(&mut failover, 50, &[(1, 100)]), Look::TooLate);
        failover.begin(Some(place(1)), Some(50), true);
        assert_eq!(look(&mut failover, 49, &[(1, 99)]), Look::Wait);
        assert_eq!(look(&mut failover, 50, &[]), Look::Follow(place(1)), "it is forced");
        assert!(!failover.releases(1049) && failover.releases(1050) && !failover.releases(1051), "once");
    }

    #[test]
    fn the_question_itself_is_not_waited_for() {
        let mut failover = Failover::default();
        failover.begin(None, None, false);
        assert!(failover.asks(63));
        failover.has_asked(63..100);
        assert!(!failover.asks(100), "once");
        assert_eq!(look(&mut failover, 0, &[(1, 62)]), Look::Wait);
        // Something came behind it.
        failover.has_asked(53..90);
        assert!(failover.asks(100), "again");
        assert_eq!(look(&mut failover, 0, &[(1, 99)]), Look::Wait);
        failover.has_asked(63..100);
        assert_eq!(look(&mut failover, 0, &[(1, 62), (2, 63)]), Look::Follow(place(2)));
    }
}
