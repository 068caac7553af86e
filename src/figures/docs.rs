//! The figures as docs/metrics.md lists them.

use std::fmt::Write;

use super::{Export, Kind, Read, SECTIONS, Section, Shown, Unit};

impl Unit {
    /// The unit as the documentation has it.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::UnixSeconds => "s since 1970",
            Self::Percent => "%",
            Self::Ratio => "ratio",
            Self::PerSecond => "1/s",
            Self::KibibytesPerSecond => "KiB/s",
        }
    }
}

impl Kind {
    /// The kind as the documentation has it.
    pub const fn shown(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Text => "text",
            Self::Constant => "constant",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// A table for each section with figures, in Markdown.
pub fn markdown() -> String {
    let mut page = String::new();
    for section in SECTIONS.iter().filter(|section| !section.figures.is_empty()) {
        let _ = writeln!(page, "## {}\n", heading(section));
        page.push_str("| Field | Metric | Kind | Unit | What it says |\n|---|---|---|---|---|\n");
        for figure in section.figures.iter().flat_map(|figures| *figures) {
            let field = match (figure.read, section.shown) {
                (Read::Family(..), _) => format!("`{}*`", figure.name),
                (_, Shown::Never) => String::new(),
                _ => format!("`{}`", figure.name),
            };
            page.push_str(&row(&field, figure.export.as_ref(), figure.kind, figure.unit, figure.help));
            let Read::Family(parts, _) = figure.read else { continue };
            for part in parts {
                let field = format!("`{}*`: `{}`", figure.name, part.name);
                page.push_str(&row(&field, part.export.as_ref(), part.kind, part.unit, part.help));
            }
        }
        page.push('\n');
    }
    page
}

fn heading(section: &Section) -> String {
    match section.shown {
        Shown::Always | Shown::ClusterInfo => section.title.to_owned(),
        Shown::Asked => format!("{} (INFO {})", section.title, section.name),
        Shown::Never => "On the page only".to_owned(),
    }
}

fn row(field: &str, export: Option<&Export>, kind: Kind, unit: Unit, help: &str) -> String {
    let metric = export.map(|export| format!("`{}`", export.name)).unwrap_or_default();
    let kind = export.and_then(|export| export.kind).unwrap_or(kind);
    let help = help.replace('|', "\\|");
    let line = format!("| {field} | {metric} | {} | {} | {help} |\n", kind.shown(), unit.shown());
    line.replace("|  |", "| |").replace("|  |", "| |")
}
