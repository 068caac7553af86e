//! Metrics as text, in the two formats that Prometheus reads. No crate writes both with types and names that
//! are those of redis_exporter, so they are written here; promtool and Prometheus itself say whether well.

use std::fmt::Write;

use crate::figures::{Metric, MetricKind, Sample};

/// A format of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus's own text, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that an Accept header prefers: OpenMetrics where it is named and nothing that is served here
    /// has more weight.
    pub fn preferred(accepted: &str) -> Self {
        let weight = |media_type: &str| {
            let mut weight: f32 = 0.0;
            for range in accepted.split(',') {
                let mut words = range.split(';').map(str::trim);
                if words.next().is_some_and(|word| word.eq_ignore_ascii_case(media_type)) {
                    let given = words.find_map(|word| word.strip_prefix("q="));
                    weight = weight.max(given.map_or(1.0, |given| given.parse().unwrap_or(0.0)));
                }
            }
            weight
        };
        let open_metrics = weight("application/openmetrics-text");
        if open_metrics > 0.0 && open_metrics >= weight("text/plain") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The content's type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes metrics.
pub(super) fn write<'m>(metrics: impl IntoIterator<Item = &'m Metric>, format: Format) -> String {
    let mut page = String::new();
    for metric in metrics {
        match format {
            Format::Text => {
                let kind = match metric.kind {
                    MetricKind::Gauge => "gauge",
                    MetricKind::Counter => "counter",
                    MetricKind::Histogram => "histogram",
                    MetricKind::Summary => "summary",
                };
                head(&mut page, metric.name, metric.help, kind);
                metric.samples.iter().for_each(|one| sample(&mut page, metric.name, one, false));
            }
            Format::OpenMetrics => open_metrics(&mut page, metric),
        }
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

/// Writes a metric as OpenMetrics has it: the name of a counter's family lacks the `_total` of its samples.
/// What has the name or the quantiles of redis_exporter and would break a rule is of unknown kind.
fn open_metrics(page: &mut String, metric: &Metric) {
    let (family, kind) = match (metric.kind, metric.name.strip_suffix("_total")) {
        (MetricKind::Counter, Some(family)) => (family, "counter"),
        (MetricKind::Counter, None) => (metric.name, "unknown"),
        (MetricKind::Gauge, _) => (metric.name, "gauge"),
        (MetricKind::Histogram, _) => (metric.name, "histogram"),
        (MetricKind::Summary, _) => {
            // Its quantiles are percents.
            for suffix in ["", "_sum", "_count"] {
                head(page, &format!("{}{suffix}", metric.name), metric.help, "unknown");
                let of_it = metric.samples.iter().filter(|sample| sample.suffix == suffix);
                of_it.for_each(|one| sample(page, metric.name, one, true));
            }
            return;
        }
    };
    head(page, family, metric.help, kind);
    metric.samples.iter().for_each(|one| sample(page, metric.name, one, true));
}

fn head(page: &mut String, name: &str, help: &str, kind: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
    let _ = writeln!(page, "# TYPE {name} {kind}");
}

fn sample(page: &mut String, name: &str, sample: &Sample, is_open: bool) {
    let _ = write!(page, "{name}{}", sample.suffix);
    for (place, (label, value)) in sample.labels.iter().enumerate() {
        let _ = write!(page, "{}{label}=\"", if place == 0 { '{' } else { ',' });
        label_value(page, value);
        // OpenMetrics writes bounds of buckets as numbers with a point.
        if is_open && *label == "le" && value.bytes().all(|letter| letter.is_ascii_digit()) {
            page.push_str(".0");
        }
        page.push('"');
    }
    let _ = writeln!(page, "{} {}", if sample.labels.is_empty() { "" } else { "}" }, sample.value);
}

fn label_value(page: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            letter => page.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(name: &'static str, kind: MetricKind, samples: Vec<Sample>) -> Metric {
        Metric { name, kind, help: "Says it.", samples }
    }

    fn one(suffix: &'static str, label: (&'static str, &str), value: f64) -> Sample {
        Sample { suffix, labels: vec![(label.0, label.1.to_owned())], value }
    }

    #[test]
    fn both_formats_are_written_to_the_letter() {
        let plain = Sample { suffix: "", labels: vec![], value: 12_884_901_888.0 };
        let metrics = [
            metric("redis_a_total", MetricKind::Counter, vec![plain]),
            metric("redis_b", MetricKind::Counter, vec![one("", ("err", "a\"\\\nb"), 0.000_042)]),
            metric(
                "redis_h",
                MetricKind::Histogram,
                vec![one("_bucket", ("le", "8"), 1.0), one("_bucket", ("le", "+Inf"), 2.0)],
            ),
            metric(
                "redis_s",
                MetricKind::Summary,
                vec![
                    one("", ("quantile", "99.9"), 7.5),
                    Sample { suffix: "_sum", labels: vec![], value: 5.0 },
                ],
            ),
        ];
        assert_eq!(
            write(&metrics, Format::Text),
            "# HELP redis_a_total Says it.\n# TYPE redis_a_total counter\nredis_a_total 12884901888\n\
             # HELP redis_b Says it.\n# TYPE redis_b counter\nredis_b{err=\"a\\\"\\\\\\nb\"} 0.000042\n\
             # HELP redis_h Says it.\n# TYPE redis_h histogram\n\
             redis_h_bucket{le=\"8\"} 1\nredis_h_bucket{le=\"+Inf\"} 2\n\
             # HELP redis_s Says it.\n# TYPE redis_s summary\n\
             redis_s{quantile=\"99.9\"} 7.5\nredis_s_sum 5\n"
        );
        assert_eq!(
            write(&metrics, Format::OpenMetrics),
            "# HELP redis_a Says it.\n# TYPE redis_a counter\nredis_a_total 12884901888\n\
             # HELP redis_b Says it.\n# TYPE redis_b unknown\nredis_b{err=\"a\\\"\\\\\\nb\"} 0.000042\n\
             # HELP redis_h Says it.\n# TYPE redis_h histogram\n\
             redis_h_bucket{le=\"8.0\"} 1\nredis_h_bucket{le=\"+Inf\"} 2\n\
             # HELP redis_s Says it.\n# TYPE redis_s unknown\nredis_s{quantile=\"99.9\"} 7.5\n\
             # HELP redis_s_sum Says it.\n# TYPE redis_s_sum unknown\nredis_s_sum 5\n\
             # HELP redis_s_count Says it.\n# TYPE redis_s_count unknown\n# EOF\n"
        );
    }

    #[test]
    fn the_format_is_the_one_that_is_preferred() {
        for (accepted, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text; version=1.0.0; q=0.5, text/plain;version=0.0.4;q=0.3",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;q=0.2,text/plain;q=0.3", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text;q=x", Format::Text),
        ] {
            assert_eq!(Format::preferred(accepted), format, "{accepted}");
        }
    }
}
