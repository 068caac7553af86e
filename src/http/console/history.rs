//! [`History`]: what the charts show was in the last hour, so that they do not begin empty. The server looks at its own
//! counters once a second while the console is served, on a thread that neither runs commands nor serves
//! connections, and keeps five minutes by the second and an hour by ten seconds, [`BYTES_MAX`] bytes in all.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use super::api::{self, number};
use super::guard::{self, Admitted};
use super::reply::quote;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::trouble::Trouble;
use crate::figures::{Sample, Sight, calls_by_latency, collect, waits_by_length};
use crate::http::routes::{Answer, Asked};
use crate::http::scrape::look_at;

/// What is kept, in the order in which a point has it: a name, and what it is made of.
const SERIES: [(&str, Of); 38] = [
    ("ops", Of::Rate("redis_commands_processed_total")),
    ("hit_percent", Of::Share("redis_keyspace_hits_total", "redis_keyspace_misses_total")),
    ("hits", Of::Rate("redis_keyspace_hits_total")),
    ("misses", Of::Rate("redis_keyspace_misses_total")),
    ("memory_bytes", Of::Level("redis_memory_used_bytes")),
    ("memory_max_bytes", Of::Level("redis_memory_max_bytes")),
    ("clients", Of::Level("redis_connected_clients")),
    ("clients_max", Of::Level("redis_config_maxclients")),
    ("blocked", Of::Level("redis_blocked_clients")),
    ("rejected", Of::Gain("redis_rejected_connections_total")),
    ("p50_us", Of::Latency(0.5)),
    ("p99_us", Of::Latency(0.99)),
    ("p999_us", Of::Latency(0.999)),
    ("lock_wait_s", Of::Rate(LOCK_WAITS)),
    ("lock_wait_p99_us", Of::LockWait("redis_commands_processed_total", 0.99)),
    ("expire_lag_s", Of::Level("kvarts_expire_lag_seconds")),
    ("expired", Of::Rate("redis_expired_keys_total")),
    ("evicted", Of::Rate("redis_evicted_keys_total")),
    ("input_bytes", Of::Rate("redis_net_input_bytes_total")),
    ("output_bytes", Of::Rate("redis_net_output_bytes_total")),
    ("keys", Of::Level("redis_db_keys")),
    ("uptime_s", Of::Level("redis_uptime_in_seconds")),
    ("healthy", Of::Level("kvarts_healthy")),
    ("loading", Of::Level("redis_loading_dump_file")),
    ("errors", Of::Rate(ERRORS)),
    ("error_MISCONF", Of::Errors("MISCONF")),
    ("error_OOM", Of::Errors("OOM")),
    ("error_READONLY", Of::Errors("READONLY")),
    ("error_NOREPLICAS", Of::Errors("NOREPLICAS")),
    ("error_MASTERDOWN", Of::Errors("MASTERDOWN")),
    ("error_BUSY", Of::Errors("BUSY")),
    ("error_LOADING", Of::Errors("LOADING")),
    ("error_NOAUTH", Of::Errors("NOAUTH")),
    ("error_WRONGPASS", Of::Errors("WRONGPASS")),
    ("error_NOPERM", Of::Errors("NOPERM")),
    ("error_WRONGTYPE", Of::Errors("WRONGTYPE")),
    ("error_NOSCRIPT", Of::Errors("NOSCRIPT")),
    ("error_ERR", Of::Errors("ERR")),
];

/// Errors by their code, in the label `err`.
const ERRORS: &str = "redis_errors_total";

/// A histogram; its sum is what counts.
const LOCK_WAITS: &str = "kvarts_lock_wait_seconds";

/// Milliseconds between two points, and how many are kept.
const SECONDS: (u64, usize) = (1_000, 300);
const TENS: (u64, usize) = (10_000, 360);

/// Bytes of all points that are kept; the counters of the last looks are some hundred bytes.
const BYTES_MAX: usize = (SECONDS.1 + TENS.1) * size_of::<Point>();
const _: () = assert!(BYTES_MAX <= 206_000, "docs/console.md says so");

/// What a series is made of: metrics by their names.
#[derive(Clone, Copy, Debug)]
enum Of {
    /// A gauge as it was; over several looks the highest.
    Level(&'static str),
    /// What a counter gained.
    Gain(&'static str),
    /// What it gained in a second.
    Rate(&'static str),
    /// Of what two counters gained, percent of the first; none where neither gained anything.
    Share(&'static str, &'static str),
    /// Errors of this code that were answered in a second.
    Errors(&'static str),
    /// Microseconds that this share of all commands took at most; none where there were none.
    Latency(f64),
    /// Microseconds that this share of all commands, which a metric counts, waited for locks at most.
    LockWait(&'static str, f64),
}

/// Values of all series at a time; not a number where there is none.
#[derive(Clone, Debug)]
struct Point {
    at_ms: u64,
    values: [f64; SERIES.len()],
}

/// Counters as they were found, from which the next points are made.
#[derive(Clone, Debug)]
struct Look {
    at_ms: u64,
    /// Of each series its metric and, where it has two, the second one.
    metrics: [(f64, f64); SERIES.len()],
    /// Calls by the most microseconds that they took.
    latencies: Vec<(u64, u64)>,
    /// Waits for locks in the same form.
    waits: Vec<(u64, u64)>,
}

/// All points.
#[derive(Default)]
pub(super) struct History(Mutex<State>);

#[derive(Default)]
struct State {
    /// Whether a thread looks at the figures now.
    looks: bool,
    last: Option<Look>,
    last_ten: Option<Look>,
    seconds: VecDeque<Point>,
    tens: VecDeque<Point>,
}

impl History {
    /// Looks at the figures where it is time, on another thread; forgets everything where nobody could see it.
    pub fn look(self: &Arc<Self>, server: &Arc<Server>) {
        let config = &server.config;
        let is_served = config.int(Directive::MetricsPort) != 0 && config.word(Directive::Console) != "no";
        let mut state = self.0.lock();
        if !is_served {
            *state = State { looks: state.looks, ..State::default() };
            return;
        }
        if state.looks || !state.is_due(server.clock.now_ms()) {
            return;
        }
        state.looks = true;
        drop(state);
        let (history, server) = (Arc::clone(self), Arc::clone(server));
        tokio::task::spawn_blocking(move || {
            let look = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| Look::at(&server)));
            let mut state = history.0.lock();
            state.looks = false;
            // A panic was reported by the panic hook.
            if let Ok(look) = look {
                state.take(look);
            }
        });
    }

    /// Points after this time as JSON.
    fn json(&self, since_ms: u64, now_ms: u64, server: &Server) -> String {
        let mut text = format!("{{\"now_ms\":{now_ms},\"role\":");
        quote(if server.following.is_replica() { "replica" } else { "primary" }, &mut text);
        text.push_str(",\"health\":");
        quote(server.health.findings().status(server.clock.monotonic_ns()).name(), &mut text);
        text.push_str(",\"troubles\":[");
        write_troubles(&server.troubles(now_ms), &mut text);
        text.push_str("],\"series\":[");
        let state = self.0.lock();
        for (place, (name, _)) in SERIES.iter().enumerate() {
            text.push_str(if place > 0 { ",\"" } else { "\"" });
            text.push_str(name);
            text.push('"');
        }
        for (name, points) in [("],\"seconds\":[", &state.seconds), ("],\"tens\":[", &state.tens)] {
            text.push_str(name);
            let newer = points.iter().filter(|point| point.at_ms > since_ms);
            for (place, point) in newer.enumerate() {
                text.push_str(if place > 0 { ",[" } else { "[" });
                // Writing to a string cannot fail.
                let _ = write!(text, "{}", point.at_ms);
                for value in point.values {
                    text.push(',');
                    // Charts show three digits, and lists whole numbers.
                    number((value * 1e3).round() / 1e3, &mut text);
                }
                text.push(']');
            }
        }
        text.push_str("]}\n");
        text
    }
}

fn write_troubles(troubles: &[Trouble], text: &mut String) {
    for (place, trouble) in troubles.iter().enumerate() {
        text.push_str(if place > 0 { ",{" } else { "{" });
        let fields = [
            ("kind", trouble.kind.word()),
            ("refuses", trouble.refuses.word()),
            ("title", trouble.title),
            ("reason", &trouble.reason),
            ("advice", &trouble.advice),
        ];
        for (place, (name, value)) in fields.into_iter().enumerate() {
            text.push_str(if place > 0 { "," } else { "" });
            quote(name, text);
            text.push(':');
            quote(value, text);
        }
        text.push('}');
    }
}

impl State {
    fn is_due(&self, now_ms: u64) -> bool {
        self.last.as_ref().is_none_or(|last| now_ms / SECONDS.0 != last.at_ms / SECONDS.0)
    }

    /// Adds what was found.
    fn take(&mut self, look: Look) {
        if self.last.as_ref().is_some_and(|last| look.at_ms <= last.at_ms) {
            // The clock was set back.
            *self = Self::default();
        }
        let point = Point::between(self.last.as_ref(), &look);
        keep(&mut self.seconds, point, SECONDS);
        match &self.last_ten {
            Some(before) if look.at_ms / TENS.0 > before.at_ms / TENS.0 => {
                let mut point = Point::between(Some(before), &look);
                let within = self.seconds.iter().filter(|point| point.at_ms > before.at_ms);
                within.for_each(|second| point.raise_levels(second));
                keep(&mut self.tens, point, TENS);
                self.last_ten = Some(look.clone());
            }
            Some(_) => {}
            None => self.last_ten = Some(look.clone()),
        }
        self.last = Some(look);
    }
}

/// Adds a point, and drops those that are too old or too many.
fn keep(points: &mut VecDeque<Point>, point: Point, (every_ms, count): (u64, usize)) {
    let oldest_ms = point.at_ms.saturating_sub(every_ms * count as u64);
    while points.front().is_some_and(|front| front.at_ms <= oldest_ms || points.len() >= count) {
        points.pop_front();
    }
    if points.capacity() < count {
        points.reserve_exact(count - points.len());
    }
    points.push_back(point);
}

impl Look {
    fn at(server: &Arc<Server>) -> Self {
        look_at(server, Self::of)
    }

    fn of(sight: &Sight<'_>) -> Self {
        let names: Vec<&str> = SERIES.iter().flat_map(|(_, of)| of.metrics()).flatten().collect();
        let metrics = collect(sight, &|name| names.contains(&name));
        let value = |name: Option<&str>| {
            let metric = metrics.iter().find(|metric| Some(metric.name) == name);
            // Of a histogram the sum.
            let is_value = |sample: &&Sample| matches!(sample.suffix, "" | "_sum");
            metric.map_or(f64::NAN, |metric| {
                metric.samples.iter().filter(is_value).map(|sample| sample.value).sum()
            })
        };
        // A code that has not come yet has no sample.
        let errors = |code: &str| {
            let samples = metrics.iter().filter(|metric| metric.name == ERRORS);
            let samples = samples.flat_map(|metric| &metric.samples);
            let of_code = samples.filter(|sample| sample.labels.iter().any(|(_, value)| value == code));
            of_code.map(|sample| sample.value).sum()
        };
        let metrics = SERIES.map(|(_, of)| match of {
            Of::Errors(code) => (errors(code), f64::NAN),
            // As long as there is none, the metric has no sample.
            Of::Rate(name @ (ERRORS | LOCK_WAITS)) => (value(Some(name)).max(0.0), f64::NAN),
            _ => {
                let [first, second] = of.metrics();
                (value(first), value(second))
            }
        });
        let (latencies, waits) = (calls_by_latency(sight), waits_by_length(sight));
        Self { at_ms: sight.now_ms, metrics, latencies, waits }
    }

    /// Of the calls since an earlier look, the microseconds that this share of them took at most.
    fn latency_us(&self, before: &Self, share: f64) -> f64 {
        let steps = gained_steps(&before.latencies, &self.latencies);
        bound_of(&steps, 2.0, share * sum(&steps))
    }

    /// Of so many commands since an earlier look, the microseconds that this share of them waited for locks at most;
    /// none where there were no commands.
    fn lock_wait_us(&self, before: &Self, commands: f64, share: f64) -> f64 {
        let steps = gained_steps(&before.waits, &self.waits);
        let waited = sum(&steps);
        // A command that was refused at last has waited, too, and is none that ran.
        let others = (commands - waited).max(0.0);
        let among_waits = share * (others + waited) - others;
        if others > 0.0 && among_waits <= 0.0 { 0.0 } else { bound_of(&steps, 4.0, among_waits) }
    }
}

/// What was gained in each step of a histogram; steps without a gain are left out.
fn gained_steps(before: &[(u64, u64)], now: &[(u64, u64)]) -> Vec<(f64, f64)> {
    let count_before = |bound| {
        let found = before.binary_search_by_key(&bound, |(bound, _)| *bound);
        found.map_or(0, |place| before[place].1)
    };
    let gained = now.iter().map(|(bound, count)| {
        // Counters that have fallen began anew.
        (*bound as f64, count.saturating_sub(count_before(*bound)) as f64)
    });
    gained.filter(|(_, count)| *count > 0.0).collect()
}

fn sum(steps: &[(f64, f64)]) -> f64 {
    steps.iter().map(|(_, count)| count).sum()
}

/// The value that so many of those in steps do not exceed, where the bound of a step is so many times the one before.
/// Within a step they count as spread evenly.
fn bound_of(steps: &[(f64, f64)], growth: f64, mut left: f64) -> f64 {
    for (bound, count) in steps {
        if left <= *count {
            return bound / growth * (1.0 + (growth - 1.0) * left / count);
        }
        left -= count;
    }
    steps.last().map_or(f64::NAN, |(bound, _)| *bound)
}

impl Of {
    const fn metrics(self) -> [Option<&'static str>; 2] {
        match self {
            Self::Level(name) | Self::Gain(name) | Self::Rate(name) | Self::LockWait(name, _) => {
                [Some(name), None]
            }
            Self::Share(first, second) => [Some(first), Some(second)],
            Self::Errors(_) => [Some(ERRORS), None],
            Self::Latency(_) => [None, None],
        }
    }
}

impl Point {
    /// What came about between two looks; what needs both is none without the first.
    fn between(before: Option<&Look>, look: &Look) -> Self {
        let mut values = [f64::NAN; SERIES.len()];
        for (place, (_, of)) in SERIES.iter().enumerate() {
            let now = look.metrics[place];
            // Counters that have fallen began anew: what they gained is not known.
            let gained = |now: f64, before: f64| if now >= before { now - before } else { f64::NAN };
            values[place] = match (of, before) {
                (Of::Level(_), _) => now.0,
                (_, None) => f64::NAN,
                (Of::Gain(_), Some(before)) => gained(now.0, before.metrics[place].0),
                (Of::Rate(_) | Of::Errors(_), Some(before)) => {
                    let seconds = look.at_ms.saturating_sub(before.at_ms) as f64 / 1e3;
                    gained(now.0, before.metrics[place].0) / seconds
                }
                (Of::Share(..), Some(before)) => {
                    let (part, rest) = before.metrics[place];
                    let (part, rest) = (gained(now.0, part), gained(now.1, rest));
                    // Not a number where nothing was gained.
                    100.0 * part / (part + rest)
                }
                (Of::Latency(share), Some(before)) => look.latency_us(before, *share),
                (Of::LockWait(_, share), Some(before)) => {
                    look.lock_wait_us(before, gained(now.0, before.metrics[place].0), *share)
                }
            };
        }
        Self { at_ms: look.at_ms, values }
    }

    /// Takes the levels of another point that are higher.
    fn raise_levels(&mut self, other: &Self) {
        for (place, (_, of)) in SERIES.iter().enumerate() {
            if matches!(of, Of::Level(_)) {
                self.values[place] = self.values[place].max(other.values[place]);
            }
        }
    }
}

/// GET /api/figures/history?since=…: what is the matter at present, and what the charts show, of the last five
/// minutes by the second and of the last hour by ten seconds, as far as it is newer than `since`.
pub(in crate::http) fn history(asked: Asked) -> Answer {
    api::answer(async move {
        let Admitted { server, .. } = guard::admit(&asked)?;
        let query = asked.head.uri.query().unwrap_or_default();
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since="));
        let since_ms = since.map_or(Ok(0), str::parse);
        let since_ms = since_ms.map_err(|_| api::bad("since is a number of milliseconds"))?;
        Ok(api::json(asked.site.console.history.json(since_ms, server.clock.now_ms(), &server)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> usize {
        SERIES.iter().position(|(other, _)| *other == name).expect("a series")
    }

    /// Counters by the names of their series.
    fn look(at_ms: u64, counters: &[(&str, f64, f64)], latencies: &[(u64, u64)]) -> Look {
        let mut metrics = [(f64::NAN, f64::NAN); SERIES.len()];
        for (name, first, second) in counters {
            metrics[place(name)] = (*first, *second);
        }
        Look { at_ms, metrics, latencies: latencies.to_vec(), waits: Vec::new() }
    }

    #[test]
    fn points_are_made_of_what_was_gained() {
        let before = look(
            1_000,
            &[("ops", 10.0, 0.0), ("hit_percent", 4.0, 4.0), ("rejected", 5.0, 0.0)],
            &[(2, 5), (8, 5)],
        );
        let now = look(
            3_000,
            &[("ops", 50.0, 0.0), ("hit_percent", 7.0, 5.0), ("rejected", 4.0, 0.0), ("clients", 3.0, 0.0)],
            &[(2, 5), (4, 90), (8, 15)],
        );
        let point = Point::between(Some(&before), &now);
        let of = |name| point.values[place(name)];
        assert_eq!((of("ops"), of("hit_percent"), of("clients")), (20.0, 75.0, 3.0));
        assert!(of("rejected").is_nan(), "it began anew");
        // 90 took 2 to 4 microseconds, 10 took 4 to 8.
        assert_eq!((of("p50_us"), of("p99_us")), (2.0 * (1.0 + 50.0 / 90.0), 4.0 * 1.9));
        assert!(Point::between(Some(&now), &now).values[place("hit_percent")].is_nan());
        assert!(Point::between(None, &now).values[place("ops")].is_nan());
    }

    #[test]
    fn waits_for_locks_are_told_of_all_commands() {
        let at = |ms: u64, commands: f64, waits: &[(u64, u64)]| Look {
            waits: waits.to_vec(),
            ..look(ms, &[("lock_wait_p99_us", commands, 0.0), ("lock_wait_s", ms as f64 / 1e3, 0.0)], &[])
        };
        let of = |before: &Look, now: &Look, name| Point::between(Some(before), now).values[place(name)];
        let before = at(1_000, 100.0, &[(4, 7)]);
        let p99 =
            |commands, waits: &[(u64, u64)]| of(&before, &at(2_000, commands, waits), "lock_wait_p99_us");
        assert_eq!(p99(1_100.0, &[(4, 7)]), 0.0);
        assert_eq!(p99(1_100.0, &[(4, 7), (4_096, 10)]), 0.0, "not more than one in a hundred");
        // 20 waited for 1 to 4 milliseconds, of whom half are beyond.
        assert_eq!(p99(1_100.0, &[(4, 7), (4_096, 20)]), 1_024.0 * 2.5);
        assert_eq!(p99(200.0, &[(4, 107)]), 1.0 + 3.0 * 99.0 / 100.0, "all waited");
        assert!(p99(100.0, &[(4, 7)]).is_nan(), "there were no commands");
        assert_eq!(p99(100.0, &[(4, 8)]), 1.0 + 3.0 * 0.99, "it was refused at last");
        assert_eq!(p99(5.0, &[(4, 0), (16, 1)]), 4.0 * (1.0 + 3.0 * 0.99), "all counters began anew");
        assert_eq!(of(&before, &at(3_000, 100.0, &[]), "lock_wait_s"), 1.0);
    }

    #[test]
    fn points_are_bounded_by_time_and_number() {
        let mut state = State::default();
        for second in 1..=5_000 {
            let blocked = if second == 4_995 { 7.0 } else { 0.0 };
            state.take(look(second * 1_000, &[("blocked", blocked, 0.0)], &[]));
        }
        let ends =
            |points: &VecDeque<Point>| (points.front().map(|p| p.at_ms), points.back().map(|p| p.at_ms));
        assert_eq!((ends(&state.seconds), state.seconds.len()), ((Some(4_701_000), Some(5_000_000)), 300));
        assert_eq!((ends(&state.tens), state.tens.len()), ((Some(1_410_000), Some(5_000_000)), 360));
        assert_eq!(state.tens[359].values[place("blocked")], 7.0, "the highest of its seconds");
        let bytes = |points: &VecDeque<Point>| points.capacity() * size_of::<Point>();
        assert!(bytes(&state.seconds) + bytes(&state.tens) <= BYTES_MAX);
        // The clock is set ahead, and back.
        state.take(look(6_000_000, &[], &[]));
        assert_eq!((state.seconds.len(), state.tens.len()), (1, 261));
        state.take(look(1_000, &[], &[]));
        assert_eq!((state.seconds.len(), state.tens.len()), (1, 0));
    }
}
