//! [`InForce`]: the profile that a server runs under, its rules made ready for judgement: those of each command by
//! the command's id.

mod judge;
mod report;

use smallvec::SmallVec;

use super::Server;
use super::command::Commands;
use crate::command::spec::Family;
use crate::command::table::Entry;
use crate::config::{Config, Directive};
use crate::profile::{Answer, Feature, Profile, ProfileError, Rule, When};
use crate::shared::findings::Findings;

pub use judge::ScriptReach;
pub use report::{Finding, Form};

/// A profile and what was found under it.
pub struct InForce {
    /// Its name, or the path of its file.
    pub name: String,
    profile: Profile,
    /// Whether nothing is refused (`profile-mode warn`).
    warns: bool,
    /// Indexes of the rules of each command, by the command's id.
    by_entry: Box<[SmallVec<[u16; 8]>]>,
    /// Index of the rule about connections without TLS.
    plain_connection: Option<usize>,
    /// What would have been refused, or was.
    pub findings: Findings,
}

impl InForce {
    /// Makes the profile of the configuration ready, if there is one, and has commands do nothing that do nothing
    /// there.
    ///
    /// # Errors
    /// A rule about a command that there is not.
    pub fn new(config: &Config, commands: &mut Commands) -> Result<Option<Self>, ProfileError> {
        let Some((name, profile)) = config.profile() else { return Ok(None) };
        let failed = |reason: String| ProfileError { name: name.clone(), reason };
        let warns = config.word(Directive::ProfileMode) == "warn";
        let mut by_entry = vec![SmallVec::new(); commands.entries().len()];
        for (index, rule) in profile.rules.iter().enumerate() {
            for id in entries_of(rule, commands).map_err(failed)? {
                by_entry[id].push(index as u16);
                if rule.answer == Answer::Ok && !warns {
                    commands.silence(id);
                }
            }
        }
        let plain_connection = profile.rules.iter().position(|rule| rule.when == When::PlainConnection);
        Ok(Some(Self {
            name: name.clone(),
            profile: profile.clone(),
            warns,
            by_entry: by_entry.into(),
            plain_connection,
            findings: Findings::default(),
        }))
    }

    /// Whether nothing is refused, and what would be is only recorded.
    pub fn warns(&self) -> bool {
        self.warns
    }

    /// The value of a feature of how the cluster is told; `None` where the profile does not have it.
    pub fn shape(&self, feature: Feature) -> Option<usize> {
        self.profile.shape(feature)
    }

    fn rules_of(&self, entry: &Entry) -> impl Iterator<Item = (usize, &Rule)> {
        let indexes = self.by_entry.get(entry.id).into_iter().flatten();
        indexes.filter_map(|index| Some((usize::from(*index), self.profile.rules.get(usize::from(*index))?)))
    }
}

impl Server {
    /// Puts the server under a profile. Called before the first client can connect.
    pub fn set_profile(&mut self, profile: Option<InForce>) {
        if let Some(zeros) = profile.as_ref().and_then(|profile| profile.shape(Feature::NodeIdZeros)) {
            self.cluster.end_ids_in_zeros(zeros);
        }
        self.profile = profile.map(Box::new);
    }
}

/// The ids of the commands that a rule is about.
fn entries_of(rule: &Rule, commands: &Commands) -> Result<Vec<usize>, String> {
    let with_subcommands = |name: &String| {
        let entry = commands.by_full_name(name.as_bytes());
        let entry = entry.ok_or_else(|| format!("rule '{}': there is no command '{name}'", rule.name))?;
        Ok(std::iter::once(entry.id).chain(entry.subcommands.clone()))
    };
    let named = |names: &[String]| {
        let ids = names.iter().map(with_subcommands).collect::<Result<Vec<_>, String>>()?;
        Ok::<Vec<usize>, String>(ids.into_iter().flatten().collect())
    };
    if rule.when == When::PlainConnection {
        return Ok(Vec::new());
    }
    if !rule.commands.is_empty() {
        return named(&rule.commands);
    }
    let except = named(&rule.except)?;
    let version = rule.version.as_deref();
    let entries = commands.entries().iter().filter(|entry| !except.contains(&entry.id));
    let entries = entries.filter(|entry| version.is_none_or(|version| is_newer(entry.spec.family, version)));
    Ok(entries.map(|entry| entry.id).collect())
}

/// Whether a command is not in Valkey of this version.
fn is_newer(family: Family, version: &str) -> bool {
    let parts =
        |version: &str| -> Vec<u32> { version.split('.').filter_map(|part| part.parse().ok()).collect() };
    match family {
        Family::Both | Family::Kvarts => false,
        Family::Redis(_) => true,
        Family::Valkey(since) | Family::Each(_, since) => parts(since) > parts(version),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_of_the_program_name_commands_that_there_are() {
        for (name, _) in crate::profile::BUILT_IN {
            for mode in ["enforce", "warn"] {
                let config =
                    Config::from_pairs([("profile", *name), ("profile-mode", mode)]).expect("a profile");
                let mut commands = Commands::new(&crate::commands::groups());
                let profile = InForce::new(&config, &mut commands).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(profile.expect("one").warns(), mode == "warn");
            }
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(is_newer(Family::Valkey("9.1"), "8.1") && is_newer(Family::Valkey("10.0"), "9.1"));
        assert!(!is_newer(Family::Valkey("8.1"), "8.1") && !is_newer(Family::Each("8.2", "8.0"), "8.1"));
        assert!(is_newer(Family::Redis("7.4"), "8.1") && !is_newer(Family::Kvarts, "1.0"));
    }
}
