//! One part that the watch asks: how long it takes to answer, and when it counts as stuck.

use super::{PartFinding, State};
use crate::worker::{Life, UNTIMED};

/// A part as the watch sees it from look to look.
#[derive(Debug)]
pub(super) struct Part {
    name: String,
    /// From this time without an answer on it is stuck.
    limit_ns: u64,
    answered: u64,
    /// When the first question was put that it has not answered; `None` where it has answered all.
    waits_since_ns: Option<u64>,
    round_trip_ns: u64,
    is_stuck: bool,
}

/// What is to be logged of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has become stuck.
    Stuck,
    /// It goes on, after so many nanoseconds.
    GoesOn(u64),
}

impl Part {
    pub(super) fn new(name: impl Into<String>, limit_ns: u64) -> Self {
        Self {
            name: name.into(),
            limit_ns,
            answered: 0,
            waits_since_ns: None,
            round_trip_ns: 0,
            is_stuck: false,
        }
    }

    /// Looks what has become of the question `asked`, which was put at `asked_ns`.
    pub(super) fn look(&mut self, life: Life, asked: u64, asked_ns: u64, now_ns: u64) -> Option<News> {
        let since_ns = self.waits_since_ns.unwrap_or(asked_ns);
        let has_answered = life.answered != self.answered;
        if has_answered {
            if life.answered_ns != UNTIMED {
                self.round_trip_ns = life.answered_ns.saturating_sub(since_ns);
            }
            self.answered = life.answered;
        }
        self.waits_since_ns = if life.rests || life.answered >= asked {
            None
        } else if has_answered {
            Some(asked_ns)
        } else {
            Some(since_ns)
        };
        let was_stuck = self.is_stuck;
        self.is_stuck = self.waits_ns(now_ns) >= self.limit_ns;
        match (was_stuck, self.is_stuck) {
            (false, true) => Some(News::Stuck),
            (true, false) => Some(News::GoesOn(now_ns.saturating_sub(since_ns))),
            _ => None,
        }
    }

    /// Forgets since when it has not answered: nothing ran meanwhile, not even the watch.
    pub(super) fn begin_anew(&mut self) {
        self.waits_since_ns = None;
    }

    fn waits_ns(&self, now_ns: u64) -> u64 {
        self.waits_since_ns.map_or(0, |since_ns| now_ns.saturating_sub(since_ns))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How it was found. `about` says what it runs.
    pub(super) fn finding(&self, life: Life, now_ns: u64, about: String) -> PartFinding {
        let state = if self.is_stuck {
            State::Stuck
        } else if life.rests {
            State::Rests
        } else if self.answered > 0 {
            State::Answers
        } else {
            State::Asked
        };
        PartFinding {
            name: self.name.clone(),
            state,
            round_trip_ns: self.round_trip_ns,
            waits_ns: self.waits_ns(now_ns),
            about,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(answered: u64, answered_ns: u64) -> Life {
        Life { answered, answered_ns, ..Life::default() }
    }

    #[test]
    fn a_part_without_an_answer_is_stuck_after_its_limit() {
        let mut part = Part::new("x", 1000);
        // Question 1 at 0, answered at 30; question 2 at 100, not answered, nor are those behind it.
        assert_eq!(part.look(life(1, 30), 1, 0, 100), None);
        assert_eq!(part.finding(life(1, 30), 100, String::new()).round_trip_ns, 30);
        for question in 2..11 {
            assert_eq!(part.look(life(1, 30), question, 100 * (question - 1), 100 * question), None);
        }
        assert_eq!(part.look(life(1, 30), 11, 1000, 1100), Some(News::Stuck));
        assert_eq!(part.finding(life(1, 30), 1100, String::new()).state, State::Stuck);
        assert_eq!(part.finding(life(1, 30), 1100, String::new()).waits_ns, 1000);
        assert_eq!(part.look(life(1, 30), 12, 1100, 1200), None, "it is said once");
        assert_eq!(part.look(life(12, 1210), 12, 1100, 1300), Some(News::GoesOn(1200)));
        let found = part.finding(life(12, 1210), 1300, String::new());
        assert_eq!((found.state, found.round_trip_ns, found.waits_ns), (State::Answers, 1110, 0));
    }

    #[test]
    fn slow_answers_are_answers() {
        let mut part = Part::new("x", 1000);
        for question in 1..100 {
            // Each answer comes when the next two questions have been put.
            let answered = question / 3 * 3;
            let news =
                part.look(life(answered, answered * 100 + 50), question, question * 100, question * 100 + 99);
            assert_eq!(news, None);
        }
        assert!(part.round_trip_ns > 0);
    }

    #[test]
    fn who_rests_is_not_stuck() {
        let mut part = Part::new("x", 1000);
        let rests = Life { rests: true, ..life(1, 0) };
        assert_eq!(part.look(rests, 1, 0, 100), None);
        assert_eq!(part.look(rests, 2, 100, 100_000), None);
        assert_eq!(part.finding(rests, 100_000, String::new()).state, State::Rests);
        // The time of rest does not count.
        assert_eq!(part.look(life(1, 0), 3, 100_000, 100_100), None);
        assert_eq!(part.look(life(1, 0), 4, 100_100, 101_000), Some(News::Stuck));
    }

    #[test]
    fn what_slept_when_it_was_asked_is_not_timed() {
        let mut part = Part::new("x", 1000);
        assert_eq!(part.look(life(1, 30), 1, 0, 100), None);
        assert_eq!(part.look(life(2, UNTIMED), 2, 100, 200), None);
        let found = part.finding(life(2, UNTIMED), 200, String::new());
        assert_eq!((found.state, found.round_trip_ns, found.waits_ns), (State::Answers, 30, 0));
        assert_eq!(part.look(life(2, UNTIMED), 3, 200, 1200), Some(News::Stuck));
        part.begin_anew();
        assert_eq!(part.look(life(2, UNTIMED), 4, 1200, 1300), Some(News::GoesOn(100)));
    }
}
