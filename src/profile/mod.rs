//! Profiles: what the endpoint of a cloud service does differently from a server of one's own, as data.
//!
//! A [`Profile`] is one TOML file: settings, rules, and the shape of what clients are told of the cluster. Each
//! entry says whether it rests on a public fact or on an assumption, and names its source. The files in
//! `profiles/` are part of the program; anybody can write a further one. Nothing here knows a command: names are
//! looked up when the server makes its rules of them.

mod docs;
mod rule;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use docs::markdown;
pub use rule::{Answer, Rule, When};

/// Largest profile that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Most rules of a profile: each request is held against those of its command.
const RULES_MAX: usize = 1000;

/// The profiles that are part of the program: name and text.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("elasticache-serverless", include_str!("../../profiles/elasticache-serverless.toml")),
    ("elasticache", include_str!("../../profiles/elasticache.toml")),
    ("memorystore", include_str!("../../profiles/memorystore.toml")),
    ("azure-enterprise", include_str!("../../profiles/azure-enterprise.toml")),
];

/// What an entry of a profile rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Something public that anybody can look up.
    Fact,
    /// What seems likely; nothing public says so.
    Assumption,
}

/// `profile-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// What the service refuses is refused.
    Enforce,
    /// Nothing is refused, and what would be is recorded.
    Warn,
}

/// A directive's value under the profile, which the configuration file and the command line may override.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// Name of the directive.
    pub directive: String,
    /// Its value, as it would stand in the file.
    pub value: String,
    /// The only mode in which it holds; `None` for both.
    pub mode: Option<Mode>,
    /// What it rests on.
    pub basis: Basis,
    /// Name of its source.
    pub source: String,
}

/// How the cluster, and what there is not, is told to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// The last `value` digits of the nodes' ids are zeros.
    NodeIdZeros,
    /// The host name stands where the address does, and nowhere else; `localhost` where none is known and the client
    /// came over loopback.
    HostInPlace,
    /// Nodes in the reply of CLUSTER SLOTS have no list of further names.
    BareSlots,
    /// The error for an unknown command repeats its name in small letters.
    SmallLetters,
}

impl Feature {
    /// Its word in the file.
    fn word(self) -> &'static str {
        match self {
            Feature::NodeIdZeros => "node-id-zeros",
            Feature::HostInPlace => "host-in-place",
            Feature::BareSlots => "bare-slots",
            Feature::SmallLetters => "small-letters",
        }
    }
}

/// One feature of how the cluster is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// Which one.
    pub feature: Feature,
    /// A number, where it takes one.
    #[serde(default)]
    pub value: usize,
    /// What it rests on.
    pub basis: Basis,
    /// Name of its source.
    pub source: String,
}

/// A profile as its file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the service is called.
    pub title: String,
    /// What it is like, in a sentence or two.
    pub about: String,
    /// The sources by their names.
    pub sources: BTreeMap<String, String>,
    /// Directives with other values than the usual ones.
    #[serde(default, rename = "setting")]
    pub settings: Vec<Setting>,
    /// How the cluster is told.
    #[serde(default, rename = "shape")]
    pub shapes: Vec<Shape>,
    /// What is refused, or noted.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// The file is no profile.
#[derive(Debug, thiserror::Error)]
#[error("profile '{name}': {reason}")]
pub struct ProfileError {
    /// Name or path of the profile.
    pub name: String,
    /// What is wrong, with the line where it is known.
    pub reason: String,
}

impl Profile {
    /// The profile that is part of the program under this name.
    ///
    /// # Errors
    /// A text that is no profile, which a test of all of them excludes.
    pub fn built_in(name: &str) -> Option<Result<Self, ProfileError>> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|(name, text)| Self::parse(name, text))
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// What is wrong with it: no TOML, unknown words, an entry without a source or a rule without what it needs.
    pub fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let failed = |reason: String| ProfileError { name: name.to_owned(), reason };
        let profile: Self =
            toml::from_str(text).map_err(|error| failed(error.to_string().trim().to_owned()))?;
        profile.check().map_err(failed)?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        let settings = self.settings.iter().map(|setting| (&setting.directive, &setting.source));
        let rules = self.rules.iter().map(|rule| (&rule.name, &rule.source));
        for (name, source) in settings.chain(rules) {
            if !self.sources.contains_key(source) {
                return Err(format!("{name}: there is no source '{source}'"));
            }
        }
        if let Some(shape) = self.shapes.iter().find(|shape| !self.sources.contains_key(&shape.source)) {
            return Err(format!("{:?}: there is no source '{}'", shape.feature, shape.source));
        }
        if self.rules.len() > RULES_MAX {
            return Err(format!("more than {RULES_MAX} rules"));
        }
        let mut names = std::collections::BTreeSet::new();
        for rule in &self.rules {
            if !names.insert(&rule.name) {
                return Err(format!("there are two rules '{}'", rule.name));
            }
            rule.check().map_err(|reason| format!("rule '{}': {reason}", rule.name))?;
        }
        Ok(())
    }

    /// The value of a feature of how the cluster is told; `None` where the profile does not have it.
    pub fn shape(&self, feature: Feature) -> Option<usize> {
        self.shapes.iter().find(|shape| shape.feature == feature).map(|shape| shape.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_of_the_program_are_profiles() {
        for (name, _) in BUILT_IN {
            let profile = Profile::built_in(name).expect("there").unwrap_or_else(|error| panic!("{error}"));
            assert!(!profile.rules.is_empty() && !profile.title.is_empty(), "{name}");
            let used = |source: &str| {
                profile.settings.iter().any(|setting| setting.source == source)
                    || profile.rules.iter().any(|rule| rule.source == source)
                    || profile.shapes.iter().any(|shape| shape.source == source)
            };
            let unused: Vec<_> = profile.sources.keys().filter(|source| !used(source)).collect();
            assert!(unused.is_empty(), "{name}: {unused:?}");
        }
    }

    #[test]
    fn mistakes_in_a_profile_are_named() {
        let head = "title = 'T'\nabout = 'A'\n[sources]\na = 'b'\n";
        let rule = "[[rule]]\nname = 'r'\nfix = 'Do it.'\nbasis = 'fact'\nsource = 'a'\n";
        for (text, expected) in [
            ("title = 5", "invalid type"),
            (&*format!("{head}[[rules]]"), "unknown field `rules`"),
            (&*format!("{head}{rule}answer = 'unknown'\nwhen = 'sometimes'"), "unknown variant `sometimes`"),
            (&*format!("{head}{rule}answer = 'unknown'"), "rule 'r': it refuses every command"),
            (
                &*format!("{head}{rule}answer = 'no'\ncommands = ['get']"),
                "an answer is unknown, ok, note, hang",
            ),
            (
                &*format!("{head}{rule}answer = 'ERR x'\nwhen = 'arguments-over'"),
                "rule 'r': it needs a limit",
            ),
            (
                &*format!(
                    "{head}{rule}answer = 'ERR x'\ncommands = ['get']\nwhen = 'argument-bytes-over'\nlimit = 1"
                ),
                "rule 'r': it needs an argument",
            ),
            (
                &*format!("{head}{}", rule.replace("'a'", "'c'") + "answer = 'note'\ncommands = ['get']"),
                "no source 'c'",
            ),
            (
                &*format!(
                    "{head}{rule}answer = 'note'\ncommands = ['get']\n{rule}answer = 'note'\ncommands = ['get']"
                ),
                "two rules 'r'",
            ),
        ] {
            let error = Profile::parse("p", text).expect_err(text).to_string();
            assert!(error.starts_with("profile 'p': ") && error.contains(expected), "{error}");
        }
    }
}
