//! Holding requests against the rules of a profile: the one place where a profile refuses anything.

use smallvec::SmallVec;

use super::InForce;
use crate::command::keys::{PlannedKey, for_each_key};
use crate::command::spec::{Channels, Flags, Subject};
use crate::command::table::{Entry, unknown};
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::client::Client;
use crate::error::CommandError;
use crate::keyspace::key_hash::{key_slot, slot_of_hash};
use crate::profile::{Answer, Feature, Rule, When};
use crate::shared::findings::{Place, pattern_of, words_of};

/// What a script's command reaches for, and the slot that the script is in once that is known.
pub struct ScriptReach {
    /// Slots of the command's keys.
    pub slots: SmallVec<[usize; 4]>,
    /// The slot of the script's keys so far.
    pub slot: Option<usize>,
}

/// A request that is held against rules.
struct Asked<'r> {
    client: &'r Client,
    entry: &'r Entry,
    arguments: &'r [&'r [u8]],
    keys: &'r [PlannedKey],
    /// Set for a command of a script.
    script: Option<&'r ScriptReach>,
}

/// What a rule was found to be about: a pattern of keys or channels, empty for the request as a whole.
type About = String;

impl Server {
    /// Holds a client's request against the profile. Returns what the client is told where it is refused.
    #[cold]
    pub(in crate::engine) fn judge_by_profile(
        &self,
        profile: &InForce,
        client: &Client,
        entry: &Entry,
        arguments: &[&[u8]],
        keys: &[PlannedKey],
    ) -> Option<CommandError> {
        self.hold_against(profile, &Asked { client, entry, arguments, keys, script: None })
    }

    /// Holds a command of a script against the profile, if there is one.
    ///
    /// # Errors
    /// What the script is told where the command is refused.
    pub fn judge_script_by_profile(
        &self,
        client: &Client,
        entry: &Entry,
        arguments: &[&[u8]],
        keys: &[PlannedKey],
        reach: &ScriptReach,
    ) -> Result<(), CommandError> {
        let Some(profile) = self.profile.as_deref().filter(|_| !client.is_loader && !client.is_inside) else {
            return Ok(());
        };
        let asked = Asked { client, entry, arguments, keys, script: Some(reach) };
        self.hold_against(profile, &asked).map_or(Ok(()), Err)
    }

    fn hold_against(&self, profile: &InForce, asked: &Asked<'_>) -> Option<CommandError> {
        let mut is_unknown = false;
        for (index, rule) in profile.rules_of(asked.entry) {
            let Some(about) = self.is_about(rule, asked) else { continue };
            // A command that there is not is not refused for another reason as well.
            if is_unknown && matches!(rule.answer, Answer::Unknown | Answer::Error(_)) {
                continue;
            }
            is_unknown |= rule.answer == Answer::Unknown;
            self.note(profile, index, asked.client, &asked.entry.full_name, about);
            if profile.warns() {
                continue;
            }
            match &rule.answer {
                Answer::Ok | Answer::Note | Answer::Hang => {}
                Answer::Unknown if asked.script.is_some() => {
                    return Some(CommandError::text("ERR Unknown command called from script"));
                }
                Answer::Unknown => return Some(profile.unknown(asked.arguments)),
                Answer::Error(text) => return Some(CommandError::new(text.clone())),
            }
        }
        None
    }

    /// The error of a request that is no command there, where it has another one here: a restricted command with
    /// the wrong number of arguments, or with a subcommand that there is not.
    #[cold]
    pub(in crate::engine) fn unknown_by_profile(&self, arguments: &[&[u8]]) -> Option<CommandError> {
        let profile = self.profile.as_deref().filter(|profile| !profile.warns())?;
        let container = || self.commands.by_called_name(arguments.first()?);
        let entry = self.commands.find(arguments).ok().or_else(container)?;
        let is_unknown = |rule: &Rule| {
            rule.answer == Answer::Unknown && matches!(rule.when, When::Always | When::NewerThan)
        };
        let mut rules = profile.rules_of(entry);
        rules.any(|(_, rule)| is_unknown(rule)).then(|| profile.unknown(arguments))
    }

    /// Notes a connection without TLS. Returns whether it is to be answered nothing: not where somebody has said
    /// `tls-only no`, which wins over the profile.
    pub fn is_left_hanging(&self, client: &Client) -> bool {
        let Some(profile) = &self.profile else { return false };
        let Some(rule) = profile.plain_connection else { return false };
        self.note(profile, rule, client, "", String::new());
        let said = self.config.is_given(Directive::TlsOnly)
            || self.config.is_set_by_profile(Directive::TlsOnly.name());
        !profile.warns() && (self.config.flag(Directive::TlsOnly) || !said)
    }

    fn note(&self, profile: &InForce, rule: usize, client: &Client, command: &str, pattern: String) {
        let names = client.shared.names.lock().clone();
        let library = [names.lib_name, names.lib_version].join(" ").trim().to_owned();
        let address = client.shared.address.rsplit_once(':').map_or("", |(host, _)| host).to_owned();
        let place =
            Place { rule, command: command.to_owned(), pattern, client: names.name, library, address };
        profile.findings.note(place, self.clock.now_ms());
    }

    /// Whether a rule of the request's command is about the request.
    fn is_about(&self, rule: &Rule, asked: &Asked<'_>) -> Option<About> {
        let Asked { client, entry, arguments, keys, script } = *asked;
        let limit = usize::try_from(rule.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let key = |key: &PlannedKey| arguments[key.argument as usize];
        let first = || match keys.first().map(key).or_else(|| channels_of(asked).next()) {
            Some(name) => pattern_of(name),
            None => subject_of(asked),
        };
        let whole = |applies: bool| applies.then(first);
        match rule.when {
            When::Always | When::NewerThan => whole(true),
            When::InTransaction => whole(client.transaction.is_some()),
            When::Watching => whole(!client.watch.keys.is_empty()),
            When::WithoutKeys => whole(keys.is_empty()),
            When::OtherDatabase => {
                let mut databases = SmallVec::new();
                if let Some(named) = entry.spec.databases {
                    named(arguments, &mut databases);
                }
                whole(databases.iter().any(|(database, _)| *database != 0))
            }
            When::ArgumentsOver => whole(arguments.len() > limit),
            When::KeyBytesOver => keys.iter().map(key).find(|key| key.len() > limit).map(pattern_of),
            When::ChannelBytesOver => {
                channels_of(asked).find(|channel| channel.len() > limit).map(pattern_of)
            }
            When::ArgumentBytesOver => {
                whole(rule.argument.and_then(|at| arguments.get(at)).is_some_and(|word| word.len() > limit))
            }
            When::WatchedKeysOver => {
                let database = client.database;
                let watched = &client.watch.keys;
                let new =
                    keys.iter().map(key).filter(|name| !watched.contains(&(database, Box::from(*name))));
                let new: std::collections::HashSet<&[u8]> = new.collect();
                whole(watched.len() + new.len() > limit)
            }
            When::WatchedSlots if entry.spec.flags.has(Flags::RUNS_QUEUE) => {
                self.queued_beside_watched(client)
            }
            When::WatchedSlots => {
                let slot = slot_of_hash(keys.first()?.hash);
                let other = client.watch.keys.iter().find(|(_, name)| key_slot(name) != slot)?;
                Some(two(key(&keys[0]), &other.1))
            }
            When::SeveralSlots if script.is_some() => None,
            When::SeveralSlots if entry.spec.flags.has(Flags::RUNS_QUEUE) => self.slots_of_queue(client),
            When::SeveralSlots => {
                let slot = slot_of_hash(keys.first()?.hash);
                let other = keys.iter().find(|key| slot_of_hash(key.hash) != slot)?;
                Some(two(key(&keys[0]), key(other)))
            }
            When::ReachesFurther => whole(entry.spec.leaves_slot.is_some_and(|leaves| leaves(arguments))),
            When::QueuedSlots => {
                let queued = client.transaction.as_ref()?.slot();
                let slot = queued.or_else(|| Some(slot_of_hash(keys.first()?.hash)))?;
                keys.iter().find(|key| slot_of_hash(key.hash) != slot).map(|other| pattern_of(key(other)))
            }
            When::ScriptSlots => {
                let reach = script?;
                let slot = reach.slot.or_else(|| reach.slots.first().copied())?;
                whole(reach.slots.iter().any(|other| *other != slot))
            }
            When::ScriptChannelSlot => {
                let slot = script?.slot?;
                channels_of(asked).find(|channel| key_slot(channel) != slot).map(pattern_of)
            }
            When::ChannelsLike => {
                let is_like =
                    |channel: &&[u8]| rule.channels.iter().any(|start| meets(channel, start.as_bytes()));
                channels_of(asked).find(is_like).map(pattern_of)
            }
            When::PlainConnection => None,
        }
    }

    /// A watched key, and one of another slot that the client's transaction has queued.
    fn queued_beside_watched(&self, client: &Client) -> Option<About> {
        let transaction = client.transaction.as_ref()?;
        let (_, watched) = client.watch.keys.iter().next()?;
        let slot = key_slot(watched);
        for queued in &transaction.requests {
            let (spec, arguments) =
                (&self.commands.entries()[queued.command].spec, queued.request.arguments());
            let mut other = None;
            for_each_key(spec, &arguments, |position| {
                let key = arguments[position.argument];
                if other.is_none() && key_slot(key) != slot {
                    other = Some(two(watched, key));
                }
            });
            if other.is_some() {
                return other;
            }
        }
        None
    }

    /// The first two keys of different slots that a client's transaction has queued.
    fn slots_of_queue(&self, client: &Client) -> Option<About> {
        let transaction =
            client.transaction.as_ref().filter(|transaction| transaction.has_several_slots())?;
        let mut first: Option<Vec<u8>> = None;
        for queued in &transaction.requests {
            let (spec, arguments) =
                (&self.commands.entries()[queued.command].spec, queued.request.arguments());
            let mut other: Option<Vec<u8>> = None;
            for_each_key(spec, &arguments, |position| {
                let key = arguments[position.argument];
                match &first {
                    None => first = Some(key.to_vec()),
                    Some(first) if other.is_none() && key_slot(first) != key_slot(key) => {
                        other = Some(key.to_vec());
                    }
                    Some(_) => {}
                }
            });
            if let (Some(first), Some(other)) = (&first, &other) {
                return Some(two(first, other));
            }
        }
        Some(String::new())
    }
}

impl InForce {
    /// The error for an unknown command, as the service words it.
    fn unknown(&self, arguments: &[&[u8]]) -> CommandError {
        match unknown(arguments) {
            CommandError::UnknownCommand { name, arguments }
                if self.shape(Feature::SmallLetters).is_some() =>
            {
                CommandError::UnknownCommand { name: name.to_ascii_lowercase(), arguments }
            }
            error => error,
        }
    }
}

/// The patterns of two keys.
fn two(one: &[u8], other: &[u8]) -> About {
    format!("{} {}", pattern_of(one), pattern_of(other))
}

/// The channels, and patterns of channels, that a request names.
fn channels_of<'r>(asked: &Asked<'r>) -> impl Iterator<Item = &'r [u8]> + use<'r> {
    let arguments = asked.arguments;
    let range = match asked.entry.spec.channels {
        Channels::None => 0..0,
        Channels::At(at) => at..at + 1,
        Channels::From(from) | Channels::Patterns(from) => from..arguments.len(),
    };
    arguments.get(range.start..range.end.min(arguments.len())).unwrap_or_default().iter().copied()
}

/// What a request is about that names neither keys nor channels.
fn subject_of(asked: &Asked<'_>) -> About {
    /// Most words that are shown.
    const WORDS: usize = 8;
    match asked.entry.spec.subject {
        Subject::None => About::new(),
        Subject::Pattern(at) => {
            asked.arguments.get(at).map(|pattern| pattern_of(pattern)).unwrap_or_default()
        }
        Subject::Words(first, step) => {
            let words = asked.arguments.iter().skip(first).step_by(step).take(WORDS);
            words_of(words.copied())
        }
    }
}

/// Whether a channel begins as `start` does, or a pattern of channels may.
fn meets(channel: &[u8], start: &[u8]) -> bool {
    let fixed =
        channel.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\')).unwrap_or(channel.len());
    let len = fixed.min(start.len());
    channel[..len] == start[..len] && (fixed >= start.len() || fixed < channel.len() && fixed > 0)
}
