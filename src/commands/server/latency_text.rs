//! The texts of LATENCY GRAPH and LATENCY DOCTOR.

use std::fmt::Write;

use super::advice;
use crate::acl::readable::ReadableKeys;
use crate::config::Directive;
use crate::engine::Server;
use crate::shared::latency::Event;

/// Columns of a graph, one a sample (Redis's figure).
const COLUMNS: usize = 80;

/// Lines of a graph.
const ROWS: usize = 4;

/// So many keys, fields and members that end together are many.
const ENDED_MANY: u64 = 100;

/// Characters for the heights within one line, lowest first.
const HEIGHTS: [char; 3] = ['_', 'o', '#'];

/// Draws the latest samples of an event as columns, oldest first, and below each how long ago it was.
pub fn graph(event: &Event, now_s: u64) -> String {
    let skipped = event.samples.len().saturating_sub(COLUMNS);
    let samples: Vec<_> = event.samples.iter().skip(skipped).collect();
    let high = samples.iter().map(|sample| sample.ms).max().unwrap_or(0);
    let low = samples.iter().map(|sample| sample.ms).min().unwrap_or(0);
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        event.name,
        event.max_ms,
        "-".repeat(COLUMNS)
    );
    let steps = (ROWS * HEIGHTS.len()) as u64;
    let step_of = |ms: u64| ((ms - low) * steps / (high - low).max(1)).min(steps - 1) as usize;
    for row in (0..ROWS).rev() {
        for sample in &samples {
            let step = step_of(sample.ms);
            text.push(match (step / HEIGHTS.len()).cmp(&row) {
                std::cmp::Ordering::Less => ' ',
                std::cmp::Ordering::Equal => HEIGHTS[step % HEIGHTS.len()],
                std::cmp::Ordering::Greater => '|',
            });
        }
        text.push('\n');
    }
    text.push_str(&" ".repeat(samples.len()));
    text.push('\n');
    let ages: Vec<String> = samples.iter().map(|sample| age(now_s.saturating_sub(sample.at_s))).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.as_bytes().get(line).map_or(' ', |byte| char::from(*byte))));
        text.push('\n');
    }
    text
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Describes what takes long now and what took long, and what may be done about it: what holds locks, events, slow
/// requests, waits for locks. Of keys that may be
/// the reason those are named that are readable.
pub fn report(server: &Server, readable: &ReadableKeys) -> String {
    let holders = advice::of_holders(server, readable);
    let (slow, waits) = (advice::of_slow_requests(server, readable), advice::of_lock_waits(server, readable));
    let is_all = holders.is_empty() && slow.is_empty() && waits.is_empty();
    let parts = [holders, of_events(server, is_all), slow, waits];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

/// What the latency monitor has noted; `is_all` says that nothing else is wrong.
fn of_events(server: &Server, is_all: bool) -> String {
    let threshold_ms = server.logs.latency.threshold_ms();
    if threshold_ms == 0 {
        return "Nothing is watched: latency-monitor-threshold is 0. Set it to the milliseconds from which on an event matters to you.\n".to_owned();
    }
    let events = server.logs.latency.events();
    if events.is_empty() {
        return match is_all {
            true => format!("All is well: nothing has taken {threshold_ms} ms or longer.\n"),
            false => format!("No event took {threshold_ms} ms or longer.\n"),
        };
    }
    // Some may have been noted while the threshold was lower.
    let least_ms = events.iter().flat_map(|event| &event.samples).map(|sample| sample.ms).min();
    let mut text =
        format!("These events took {} ms or longer:\n\n", least_ms.unwrap_or(threshold_ms).min(threshold_ms));
    for event in &events {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "- {}", describe(event));
    }
    let saw = |name: &str| events.iter().any(|event| event.name.contains(name));
    text.push_str("\nWhat may help:\n\n");
    if saw("command") {
        let logged_us = server.config.int(Directive::CommandlogExecutionSlowerThan);
        let threshold_us = threshold_ms.saturating_mul(1000);
        if logged_us < 0 || logged_us as u64 > threshold_us {
            let _ = writeln!(
                text,
                "- The log of slow commands begins above your threshold: CONFIG SET commandlog-execution-slower-than {threshold_us} lets it name the commands."
            );
        }
        text.push_str("- COMMANDLOG GET -1 SLOW names the commands. Those that walk over many elements (KEYS, SMEMBERS, SORT, big ranges) have cousins that go step by step (SCAN, SSCAN); those on large strings take as long as these are large.\n");
    }
    if let Some(cycle) = events.iter().find(|event| event.name.contains("expire")) {
        text.push_str(match cycle.items_max {
            ENDED_MANY.. => "- Many keys end at the same moment: spread their times, for example by a random part.\n",
            1.. => "- Few keys ended in what took long: they are large, or the machine had other things to do (used_cpu_sys, used_cpu_user).\n",
            0 => "- No key ended in what took long: the thread that looks for them had to wait for the machine (used_cpu_sys, used_cpu_user).\n",
        });
    }
    if saw("eviction") {
        text.push_str("- Keys are evicted to make room: raise maxmemory, or store less.\n");
    }
    text
}

fn describe(event: &Event) -> String {
    let count = event.samples.len() as u64;
    let sum: u64 = event.samples.iter().map(|sample| sample.ms).sum();
    let mean = sum / count.max(1);
    let deviation = event.samples.iter().map(|sample| sample.ms.abs_diff(mean)).sum::<u64>() / count.max(1);
    let span_s = match (event.samples.front(), event.samples.back()) {
        (Some(first), Some(last)) => last.at_s - first.at_s,
        _ => 0,
    };
    let mut text = format!(
        "{}: {}, {mean} ms on average, {deviation} ms off it on average, {} ms at worst",
        event.name,
        if count == 1 { "1 sample".to_owned() } else { format!("{count} samples") },
        event.max_ms
    );
    if count > 1 {
        let _ = write!(text, "; one in {:.2} seconds", span_s as f64 / (count - 1) as f64);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::latency::Sample;

    #[test]
    fn a_drawing() {
        let samples = (1..=7).map(|n| Sample { at_s: n, ms: 10 * n }).collect();
        let event = Event { name: "command", samples, max_ms: 90, sum_ms: 0, count: 7, items_max: 0 };
        let text = graph(&event, 61);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 70 ms, low 10 ms (all time high 90 ms)");
        assert_eq!(lines[1].len(), 80);
        assert_eq!(lines[2..6], ["     o#", "   _#||", "  o||||", "_#|||||"]);
        assert_eq!(lines[6..], ["       ", "1555555", "m987654", " ssssss"]);
    }

    #[test]
    fn one_sample_is_low() {
        let event = Event {
            name: "command",
            samples: [Sample { at_s: 1, ms: u64::MAX }].into(),
            max_ms: u64::MAX,
            sum_ms: 0,
            count: 1,
            items_max: 0,
        };
        assert!(graph(&event, 0).lines().nth(5).is_some_and(|line| line == "_"));
        assert!(describe(&event).starts_with("command: 1 sample, "));
    }
}
