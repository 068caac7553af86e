//! The report of what was found under a profile: JSON, and SARIF and JUnit XML for the pages of CI systems.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::InForce;
use crate::logging::iso_8601;
use crate::profile::Basis;
use crate::shared::findings::{Place, Seen};

/// A finding as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// The rule's name.
    pub rule: String,
    /// The command's full name; empty for a connection.
    pub command: String,
    /// Pattern of its keys or channels.
    pub keys: String,
    /// What the client calls itself.
    pub client: String,
    /// Its library and that one's version.
    pub library: String,
    /// The address that it came from.
    pub address: String,
    /// How often.
    pub count: u64,
    /// When first, in milliseconds of Unix time.
    pub first_ms: u64,
    /// When last.
    pub last_ms: u64,
    /// What to do instead.
    pub fix: String,
    /// Whether the rule rests on a fact or an assumption.
    pub basis: &'static str,
}

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Our own.
    Json,
    /// Of static analysis.
    Sarif,
    /// Of tests.
    JUnit,
}

impl Form {
    /// The form that a file's name ends in: `.sarif`, `.xml`, else JSON.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sarif") => Form::Sarif,
            Some("xml") => Form::JUnit,
            _ => Form::Json,
        }
    }
}

impl InForce {
    /// All findings in the order of the rules, and how often something was found that is not among them.
    pub fn found(&self) -> (Vec<Finding>, u64) {
        let (all, left_out) = self.findings.all();
        (all.into_iter().filter_map(|(place, seen)| self.told(place, seen)).collect(), left_out)
    }

    fn told(&self, place: Place, seen: Seen) -> Option<Finding> {
        let rule = self.profile.rules.get(place.rule)?;
        Some(Finding {
            rule: rule.name.clone(),
            command: place.command,
            keys: place.pattern,
            client: place.client,
            library: place.library,
            address: place.address,
            count: seen.count,
            first_ms: seen.first_ms,
            last_ms: seen.last_ms,
            fix: rule.fix.clone(),
            basis: match rule.basis {
                Basis::Fact => "fact",
                Basis::Assumption => "assumption",
            },
        })
    }

    /// The report as a text.
    pub fn report(&self, form: Form) -> String {
        let (findings, left_out) = self.found();
        let mut text = match form {
            Form::JUnit => return self.junit(&findings, left_out),
            Form::Json => serde_json::to_string_pretty(&self.json(&findings, left_out)),
            Form::Sarif => serde_json::to_string_pretty(&self.sarif(&findings)),
        }
        .unwrap_or_default();
        text.push('\n');
        text
    }

    fn json(&self, findings: &[Finding], left_out: u64) -> Value {
        json!({
            "profile": self.name,
            "title": self.profile.title,
            "mode": if self.warns { "warn" } else { "enforce" },
            "findings": findings,
            "left-out": left_out,
        })
    }

    fn sarif(&self, findings: &[Finding]) -> Value {
        let violated = |name: &String| findings.iter().any(|finding| finding.rule == *name);
        let rules: Vec<Value> = self
            .profile
            .rules
            .iter()
            .filter(|rule| violated(&rule.name))
            .map(|rule| json!({ "id": rule.name, "shortDescription": { "text": rule.fix } }))
            .collect();
        let results: Vec<Value> = findings
            .iter()
            .map(|finding| {
                json!({
                    "ruleId": finding.rule,
                    "level": "error",
                    "message": { "text": format!("{}: {}", heading(finding), finding.fix) },
                    "locations": [{
                        "physicalLocation": {
                            "artifactLocation": { "uri": self.name },
                            "region": { "startLine": 1 },
                        },
                        "logicalLocations": [{ "name": finding.command, "kind": "function" }],
                    }],
                    "partialFingerprints": { "finding/v1": fingerprint(finding) },
                    "occurrenceCount": finding.count,
                    "properties": finding,
                })
            })
            .collect();
        json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "kvarts", "version": crate::VERSION, "rules": rules } },
                "results": results,
            }],
        })
    }

    fn junit(&self, findings: &[Finding], left_out: u64) -> String {
        let name = escape(&format!("kvarts profile {}", self.name));
        let failures = findings.len() + usize::from(left_out > 0);
        let first_ms = findings.iter().map(|finding| finding.first_ms).min();
        let last_ms = findings.iter().map(|finding| finding.last_ms).max();
        let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        // No requests were timed: what is known is from when until when something was met.
        let _ =
            write!(text, "<testsuite name=\"{name}\" tests=\"{}\" failures=\"{failures}\"", failures.max(1));
        if let Some(first_ms) = first_ms {
            // Without the mark of the zone, as the form has it.
            let _ = write!(text, " timestamp=\"{}\"", iso_8601(first_ms).trim_end_matches('Z'));
        }
        let _ = writeln!(text, " time=\"{}\">", seconds(first_ms, last_ms));
        for finding in findings {
            let (first, last) = (iso_8601(finding.first_ms), iso_8601(finding.last_ms));
            let _ = write!(
                text,
                "  <testcase classname=\"{}\" name=\"{}\" time=\"{}\">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n",
                escape(&finding.rule),
                escape(&heading(finding)),
                seconds(Some(finding.first_ms), Some(finding.last_ms)),
                escape(&finding.fix),
                if finding.count == 1 {
                    format!("once, at {first}")
                } else {
                    format!("{} times, from {first} to {last}", finding.count)
                },
            );
        }
        if left_out > 0 {
            let _ = writeln!(
                text,
                "  <testcase classname=\"left-out\" name=\"further findings\" time=\"0\"><failure message=\"there was no room to keep them apart\">{left_out} times</failure></testcase>"
            );
        }
        if failures == 0 {
            text.push_str("  <testcase classname=\"profile\" name=\"nothing was found\" time=\"0\"/>\n");
        }
        text.push_str("</testsuite>\n");
        text
    }
}

/// The seconds between two times in milliseconds.
fn seconds(from_ms: Option<u64>, to_ms: Option<u64>) -> f64 {
    to_ms.unwrap_or_default().saturating_sub(from_ms.unwrap_or_default()) as f64 / 1e3
}

/// Command, keys and client in a line.
fn heading(finding: &Finding) -> String {
    let command = finding.command.replace('|', " ").to_uppercase();
    let what = if command.is_empty() { "connection".to_owned() } else { command };
    let by = [&finding.client, &finding.library, &finding.address].map(String::as_str);
    let by: Vec<&str> = by.into_iter().filter(|word| !word.is_empty()).collect();
    format!("{} ({})", format!("{what} {}", finding.keys).trim_end(), by.join(", "))
}

/// What tells a finding from all others in a report, whichever run it comes from and however often it was met. The
/// pages of CI systems take results without it that have one rule and one place for one and the same.
fn fingerprint(finding: &Finding) -> String {
    let Finding { rule, command, keys, client, library, .. } = finding;
    [rule, command, keys, client, library].map(|part| part.replace('/', "%2F")).join("/")
}

/// Text for XML, without what XML cannot hold.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            letter => escaped.push(letter),
        }
    }
    escaped
}
