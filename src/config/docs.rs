//! The table as Markdown, for the documentation.

use std::fmt::Write as _;

use super::table::{Effect, GROUPS, Kind, Spec};

/// The directives, a table a group. Those that have no effect yet say so.
pub fn markdown() -> String {
    let mut page = String::new();
    for (title, specs) in GROUPS {
        let _ = writeln!(page, "## {title}\n");
        page.push_str(
            "| Directive | Values | Default | At run time | What it does |\n|---|---|---|---|---|\n",
        );
        for spec in specs.iter().filter(|spec| !spec.hidden) {
            page.push_str(&row(spec));
        }
        page.push('\n');
    }
    page
}

/// The values a directive takes, in a few words.
pub(super) fn values(kind: Kind) -> String {
    match kind {
        Kind::Bool | Kind::NoDefrag => "yes, no".to_owned(),
        Kind::Integer { min, max } | Kind::Clamped { min, max, .. } => range(min, max),
        Kind::Octal { max } => format!("octal up to {max:o}"),
        Kind::UnsetPort => "port".to_owned(),
        Kind::NoRdmaPort => "0".to_owned(),
        Kind::Memory { .. } | Kind::SignedMemory { .. } => "bytes".to_owned(),
        Kind::MemoryOrPercent => "bytes or percent".to_owned(),
        Kind::Enum(words) => words.join(", "),
        Kind::Aliased(words) => words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", "),
        Kind::Text(_) => "text".to_owned(),
        Kind::Words => "words".to_owned(),
        Kind::SavePoints => "seconds changes ...".to_owned(),
        Kind::OutputBufferLimits => "class hard soft seconds ...".to_owned(),
        Kind::KeyspaceEvents => "letters of Ag$lshzxeKEtmdnocSTIV".to_owned(),
        Kind::OomScores => "three numbers".to_owned(),
        Kind::Percentiles => "numbers from 0 to 100".to_owned(),
        Kind::ShutdownFlags => "default, save, nosave, now, force, safe, failover".to_owned(),
        Kind::ReplicaOf => "host port".to_owned(),
        Kind::Directory => "folder".to_owned(),
    }
}

fn range(min: i64, max: i64) -> String {
    match (min, max) {
        (0, 65535) => "port".to_owned(),
        (min, max) if max >= i64::from(i32::MAX) => match min {
            _ if min <= i64::from(i32::MIN) => "number".to_owned(),
            _ => format!("number from {min}"),
        },
        _ => format!("{min} to {max}"),
    }
}

fn row(spec: &Spec) -> String {
    let alias = spec.alias.map(|alias| format!(", `{alias}`")).unwrap_or_default();
    let default = match spec.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let changes = match (spec.mutable, spec.protected) {
        (false, _) => "no",
        (true, true) => "protected",
        (true, false) => "yes",
    };
    let effect = match spec.effect {
        Effect::Active => "",
        Effect::Accepted => " *No effect yet.*",
    };
    let (name, values, doc) = (spec.name, values(spec.kind), spec.doc);
    format!("| `{name}`{alias} | {values} | {default} | {changes} | {doc}{effect} |\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of the directives that nothing follows from.
    fn without_effect() -> impl Iterator<Item = &'static str> {
        let specs = GROUPS.iter().flat_map(|(_, specs)| specs.iter());
        specs.filter(|spec| !spec.hidden && spec.effect == Effect::Accepted).map(|spec| spec.name)
    }
    use crate::config::table::TABLE;

    #[test]
    fn every_directive_that_is_not_hidden_has_a_row() {
        let page = markdown();
        for spec in &TABLE {
            assert_eq!(page.contains(&format!("| `{}`", spec.name)), !spec.hidden, "{}", spec.name);
        }
        assert_eq!(page.matches("*No effect yet.*").count(), without_effect().count());
    }
}
