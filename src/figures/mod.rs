//! The one table of figures: what the server shows of itself. INFO, the page for Prometheus (`/metrics`) and
//! docs/metrics.md read it. A new figure is a line in the file of its section.
//!
//! A [`Figure`] has a name, a kind, a unit, a sentence that explains it, and a plain function that reads it
//! from a [`Sight`]. What only some servers have at some times is [`Value::None`] at all others.

mod clients;
pub mod cluster;
mod commands;
mod docs;
mod exported;
mod keyspace;
mod lines;
mod memory;
mod observed;
mod persistence;
mod replication;
mod samples;
mod server;
pub mod sight;
mod stats;
mod stats_rest;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

pub use commands::calls_by_latency;
pub use docs::markdown;
pub use observed::waits_by_length;
pub use samples::{Metric, MetricKind, Sample, collect};
pub use sight::Sight;

/// A section of INFO with its figures, in the order in which they are shown.
pub struct Section {
    /// Its name as an argument of INFO, in small letters.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Which calls of INFO show it.
    pub shown: Shown,
    /// Tables of its figures, one after the other.
    pub figures: &'static [&'static [Figure]],
}

/// When INFO shows a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Always, unless others are asked for.
    Always,
    /// With ALL, or where it is asked for by its name.
    Asked,
    /// Not by INFO, but by CLUSTER INFO.
    ClusterInfo,
    /// Never: its figures are on the page for Prometheus only.
    Never,
}

/// All sections, in the order in which INFO shows them.
pub const SECTIONS: &[Section] = &[
    section("server", "Server", Shown::Always, &[server::FIGURES]),
    section("tls", "TLS", Shown::Always, &[server::TLS]),
    section("clients", "Clients", Shown::Always, &[clients::FIGURES]),
    section("memory", "Memory", Shown::Always, &[memory::FIGURES, memory::SCRIPTS, memory::REST]),
    section("persistence", "Persistence", Shown::Always, &[persistence::FIGURES]),
    section("stats", "Stats", Shown::Always, &[stats::TRAFFIC, stats::KEYS, stats_rest::FIGURES]),
    section("replication", "Replication", Shown::Always, &[replication::FIGURES]),
    section("cpu", "CPU", Shown::Always, &[server::CPU]),
    section("modules", "Modules", Shown::Always, &[]),
    section("commandstats", "Commandstats", Shown::Asked, &[commands::CALLS]),
    section("errorstats", "Errorstats", Shown::Always, &[commands::ERRORS]),
    section("latencystats", "Latencystats", Shown::Asked, &[commands::PERCENTILES]),
    section("cluster", "Cluster", Shown::Always, &[server::CLUSTER]),
    section("cluster_info", "Cluster Info", Shown::Always, &[]),
    section("scripting_engines", "Scripting Engines", Shown::Always, &[server::ENGINES]),
    section("keyspace", "Keyspace", Shown::Always, &[keyspace::FIGURES]),
    section("hotkeys", "Hotkeys", Shown::Asked, &[observed::HOT_KEYS]),
    section("cluster info", "CLUSTER INFO", Shown::ClusterInfo, &[cluster::FIGURES]),
    section("metrics", "Metrics", Shown::Never, &[exported::FIGURES, exported::HTTP, observed::EXPORTED]),
];

const fn section(
    name: &'static str,
    title: &'static str,
    shown: Shown,
    figures: &'static [&'static [Figure]],
) -> Section {
    Section { name, title, shown, figures }
}

/// One figure, or a family of figures of one kind (one for each command, database, replica).
#[derive(Clone, Copy)]
pub struct Figure {
    /// Its field of INFO; of a family what the fields begin with.
    pub name: &'static str,
    /// What may be computed from it.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// A sentence for operators.
    pub help: &'static str,
    /// How it is read.
    pub read: Read,
    /// Under which name Prometheus is given it; `None` for texts, and for numbers that say nothing there.
    pub export: Option<Export>,
}

/// How a figure is read.
#[derive(Clone, Copy)]
pub enum Read {
    /// One value.
    One(fn(&Sight<'_>) -> Value),
    /// A line of INFO for each member of a family, with several parts each.
    Family(&'static [Part], fn(&Sight<'_>) -> Vec<Row>),
    /// Numbers with labels, which only Prometheus is given.
    Samples(fn(&Sight<'_>) -> Vec<Sample>),
}

/// A part of each line of a family.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Its name within the line.
    pub name: &'static str,
    /// What may be computed from it.
    pub kind: Kind,
    /// What it counts.
    pub unit: Unit,
    /// A sentence for operators.
    pub help: &'static str,
    /// Under which name Prometheus is given it.
    pub export: Option<Export>,
}

/// A member of a family, read.
#[derive(Debug)]
pub struct Row {
    /// What follows the family's name in the field's name.
    pub name: String,
    /// By what Prometheus tells the members apart.
    pub labels: Vec<(&'static str, String)>,
    /// Values of its parts, by the names of the parts.
    pub parts: Vec<(Cow<'static, str>, Value)>,
    /// Whether INFO shows it.
    pub in_info: bool,
}

/// What may be computed from a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rises and falls: its value is of interest.
    Gauge,
    /// Rises until the server ends, or until CONFIG RESETSTAT: what it gains in a time is of interest.
    Counter,
    /// Words or marks that stand for no number.
    Text,
    /// The same in every server, as nothing here is behind it: docs/info-constants.md says why.
    Constant,
    /// Calls by how long they took, for Prometheus only.
    Histogram,
    /// Chosen quantiles, for Prometheus only.
    Summary,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things, or nothing that has a unit.
    None,
    Bytes,
    Seconds,
    Milliseconds,
    Microseconds,
    /// A time: seconds since 1970.
    UnixSeconds,
    Percent,
    /// One number divided by another of the same unit.
    Ratio,
    PerSecond,
    /// 1024 bytes a second.
    KibibytesPerSecond,
}

/// How Prometheus is given a figure.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// The metric's name.
    pub name: &'static str,
    /// By what the value of INFO is multiplied.
    pub scale: f64,
    /// The metric's kind where it is another one than the figure's, as redis_exporter has it.
    pub kind: Option<Kind>,
}

/// The value of a figure.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// It does not exist at present; INFO leaves the field out.
    None,
    Unsigned(u64),
    Signed(i64),
    /// A number with so many digits behind the point.
    Fixed(f64, usize),
    /// A number of percent, shown with two digits behind the point and the sign.
    Percent(f64),
    /// A size for people: three digits and a unit, such as `1.50M`.
    Human(u64),
    /// A word that stands for a number: `ok` for 1, `err` for 0.
    Word(&'static str, u8),
    Text(Cow<'static, str>),
}

impl Value {
    /// Returns the number that Prometheus is given, before it is scaled; `None` for what is no number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::None | Self::Text(_) => None,
            Self::Unsigned(number) | Self::Human(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            // With as many digits as INFO shows.
            Self::Fixed(number, digits) => format!("{number:.digits$}").parse().ok(),
            Self::Percent(number) => Some(*number),
            Self::Word(_, number) => Some(f64::from(*number)),
        }
    }

    /// `ok`, or `err` where something failed.
    pub fn status(failed: bool) -> Self {
        if failed { Self::Word("err", 0) } else { Self::Word("ok", 1) }
    }

    /// A number of seconds; -1 where there is none.
    pub fn seconds(seconds: Option<u64>) -> Self {
        seconds.map_or(Self::Signed(-1), Self::Unsigned)
    }

    /// A value that exists only sometimes.
    pub fn maybe(value: Option<impl Into<Value>>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Unsigned(number) => write!(f, "{number}"),
            Self::Signed(number) => write!(f, "{number}"),
            Self::Fixed(number, digits) => write!(f, "{number:.digits$}"),
            Self::Percent(number) => write!(f, "{number:.2}%"),
            Self::Human(bytes) => human(*bytes, f),
            Self::Word(word, _) => f.write_str(word),
            Self::Text(text) => f.write_str(text),
        }
    }
}

fn human(bytes: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return write!(f, "{bytes}B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    write!(f, "{size:.2}{}", UNITS[unit])
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Unsigned(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Unsigned(number as u64)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Unsigned(u64::from(number))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Unsigned(u64::from(number))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Signed(number)
    }
}

/// `1` for true.
impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Unsigned(u64::from(flag))
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

/// A number that rises and falls.
const fn gauge(name: &'static str, unit: Unit, help: &'static str, read: fn(&Sight<'_>) -> Value) -> Figure {
    Figure { name, kind: Kind::Gauge, unit, help, read: Read::One(read), export: None }
}

/// A number that rises.
const fn counter(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    read: fn(&Sight<'_>) -> Value,
) -> Figure {
    Figure { name, kind: Kind::Counter, unit, help, read: Read::One(read), export: None }
}

/// A field that is no number.
const fn text(name: &'static str, help: &'static str, read: fn(&Sight<'_>) -> Value) -> Figure {
    Figure { name, kind: Kind::Text, unit: Unit::None, help, read: Read::One(read), export: None }
}

/// A field that is 0 in every server.
const fn zero(name: &'static str, unit: Unit, help: &'static str) -> Figure {
    constant(name, unit, help, |_| Value::Unsigned(0))
}

/// A field that is the same in every server.
const fn constant(
    name: &'static str,
    unit: Unit,
    help: &'static str,
    read: fn(&Sight<'_>) -> Value,
) -> Figure {
    Figure { name, kind: Kind::Constant, unit, help, read: Read::One(read), export: None }
}

/// A line for each member.
const fn family(
    name: &'static str,
    help: &'static str,
    parts: &'static [Part],
    read: fn(&Sight<'_>) -> Vec<Row>,
) -> Figure {
    let read = Read::Family(parts, read);
    Figure { name, kind: Kind::Text, unit: Unit::None, help, read, export: None }
}

/// What only Prometheus is given, under this name.
const fn samples(
    name: &'static str,
    kind: Kind,
    unit: Unit,
    help: &'static str,
    read: fn(&Sight<'_>) -> Vec<Sample>,
) -> Figure {
    let export = Some(Export { name, scale: 1.0, kind: None });
    Figure { name, kind, unit, help, read: Read::Samples(read), export }
}

const fn part(name: &'static str, kind: Kind, unit: Unit, help: &'static str) -> Part {
    Part { name, kind, unit, help, export: None }
}

impl Figure {
    /// Gives it to Prometheus under this name.
    const fn export(mut self, name: &'static str) -> Figure {
        self.export = Some(Export { name, scale: 1.0, kind: None });
        self
    }

    /// Gives it to Prometheus multiplied by this.
    const fn scaled(mut self, by: f64) -> Figure {
        if let Some(export) = &mut self.export {
            export.scale = by;
        }
        self
    }

    /// Gives it to Prometheus as one of another kind.
    const fn exported_as(mut self, kind: Kind) -> Figure {
        if let Some(export) = &mut self.export {
            export.kind = Some(kind);
        }
        self
    }
}

impl Part {
    /// Gives it to Prometheus under this name, multiplied by this.
    const fn export(mut self, name: &'static str, scale: f64) -> Part {
        self.export = Some(Export { name, scale, kind: None });
        self
    }
}

impl Row {
    /// A member with one label.
    fn new(name: String, label: &'static str, parts: Vec<(&'static str, Value)>) -> Self {
        let labels = vec![(label, name.clone())];
        let parts = parts.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect();
        Self { name, labels, parts, in_info: true }
    }
}
