//! The figures as Prometheus is given them: metrics with their samples.

use super::{Export, Kind, Part, Read, SECTIONS, Sight};

/// A metric with all its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// How it is to be read.
    pub kind: MetricKind,
    /// A sentence for operators.
    pub help: &'static str,
    /// Its values.
    pub samples: Vec<Sample>,
}

/// How a metric is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

/// A value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What follows the metric's name: `_bucket`, `_sum`, `_count` or nothing.
    pub suffix: &'static str,
    /// By what it is told from others.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

/// Labels that name keys.
const KEY_LABELS: [&str; 2] = ["key", "prefix"];

impl Sample {
    /// Whether it tells the name of a key, or what names begin with.
    pub fn names_keys(&self) -> bool {
        self.labels.iter().any(|(name, _)| KEY_LABELS.contains(name))
    }
}

impl MetricKind {
    fn of(kind: Kind, export: &Export) -> Self {
        match export.kind.unwrap_or(kind) {
            Kind::Counter => Self::Counter,
            Kind::Histogram => Self::Histogram,
            Kind::Summary => Self::Summary,
            Kind::Gauge | Kind::Text | Kind::Constant => Self::Gauge,
        }
    }
}

/// Reads the figures that Prometheus is given and `wants` names, in the order of the table; others are not read.
/// Metrics without a sample are left out.
pub fn collect(at: &Sight<'_>, wants: &dyn Fn(&str) -> bool) -> Vec<Metric> {
    let figures = SECTIONS.iter().flat_map(|section| section.figures).flat_map(|figures| *figures);
    let mut metrics = Vec::new();
    for figure in figures {
        match (figure.read, figure.export.as_ref().filter(|export| wants(export.name))) {
            (Read::One(read), Some(export)) => {
                let value = read(at).number().map(|number| scaled(number, export.scale));
                let sample = value.map(|value| Sample { suffix: "", labels: Vec::new(), value });
                let kind = MetricKind::of(figure.kind, export);
                let samples = sample.into_iter().collect();
                metrics.push(Metric { name: export.name, kind, help: figure.help, samples });
            }
            (Read::Samples(read), Some(export)) => {
                let kind = MetricKind::of(figure.kind, export);
                metrics.push(Metric { name: export.name, kind, help: figure.help, samples: read(at) });
            }
            (Read::Family(parts, read), _) => {
                let wanted = |part: &Part| part.export.filter(|export| wants(export.name));
                let rows = if parts.iter().any(|part| wanted(part).is_some()) { read(at) } else { continue };
                for part in parts {
                    let Some(export) = wanted(part) else { continue };
                    let sample = |row: &super::Row| {
                        let (_, value) = row.parts.iter().find(|(name, _)| name == part.name)?;
                        let value = scaled(value.number()?, export.scale);
                        Some(Sample { suffix: "", labels: row.labels.clone(), value })
                    };
                    let samples = rows.iter().filter_map(sample).collect();
                    let kind = MetricKind::of(part.kind, &export);
                    metrics.push(Metric { name: export.name, kind, help: part.help, samples });
                }
            }
            (_, None) => {}
        }
    }
    metrics.retain(|metric| !metric.samples.is_empty());
    metrics
}

/// Multiplies by a scale, which is a power of ten: dividing by a whole number gives the nearest value.
fn scaled(number: f64, scale: f64) -> f64 {
    if scale < 1.0 { number / (1.0 / scale).round() } else { number * scale }
}
