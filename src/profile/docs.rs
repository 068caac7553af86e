//! The page about profiles, made from their files.

use std::fmt::Write as _;

use super::{Answer, BUILT_IN, Basis, Feature, Mode, Profile, ProfileError, Rule, When};

/// The page's part about each profile that is part of the program.
///
/// # Errors
/// A file that is no profile.
pub fn markdown() -> Result<String, ProfileError> {
    let mut page = String::new();
    for (name, text) in BUILT_IN {
        let profile = Profile::parse(name, text)?;
        let _ = write!(page, "## `{name}`: {}\n\n{}\n\n", profile.title, profile.about);
        let _ = write!(page, "| | What | Instead | Rests on |\n|---|---|---|---|\n");
        for setting in &profile.settings {
            let mode = match setting.mode {
                None => "",
                Some(Mode::Enforce) => ", in enforce",
                Some(Mode::Warn) => ", in warn",
            };
            let value = if setting.value.is_empty() { "\"\"" } else { &setting.value };
            let basis = basis(setting.basis, &setting.source);
            let _ = writeln!(page, "| setting | `{} {value}`{mode} | | {basis} |", setting.directive);
        }
        for shape in &profile.shapes {
            let words = match shape.feature {
                Feature::NodeIdZeros => format!("the last {} digits of node ids are zeros", shape.value),
                Feature::HostInPlace => {
                    "the host name stands where the address does, and nowhere else".to_owned()
                }
                Feature::BareSlots => "nodes in CLUSTER SLOTS have host, port and id only".to_owned(),
                Feature::SmallLetters => {
                    "the error for an unknown command repeats its name in small letters".to_owned()
                }
            };
            let _ = writeln!(page, "| shape | {words} | | {} |", basis(shape.basis, &shape.source));
        }
        for rule in &profile.rules {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} |",
                rule.name,
                what(rule).replace('|', "\\|"),
                rule.fix.replace('|', "\\|"),
                basis_of_rule(rule)
            );
        }
        let _ = write!(page, "\n{}\n", summary(&profile));
        let _ = write!(page, "\nSources:\n\n");
        for (name, text) in &profile.sources {
            let _ = writeln!(page, "- {name}: {text}");
        }
        page.push('\n');
    }
    Ok(page)
}

/// What of a profile rests on what, for a reader who wants to know how far to trust it.
fn summary(profile: &Profile) -> String {
    let list = |names: Vec<String>| match &*names {
        [] => "nothing".to_owned(),
        names => names.join(", "),
    };
    let settings = profile.settings.iter().map(|setting| (format!("`{}`", setting.directive), setting.basis));
    let shapes = profile.shapes.iter().map(|shape| (format!("`{}`", shape.feature.word()), shape.basis));
    let rules = profile.rules.iter().map(|rule| (format!("`{}`", rule.name), rule.basis));
    let all: Vec<(String, Basis)> = settings.chain(shapes).chain(rules).collect();
    let assumed: Vec<String> =
        all.iter().filter(|(_, basis)| *basis == Basis::Assumption).map(|(name, _)| name.clone()).collect();
    let worded = profile.rules.iter().filter(|rule| rule.answer_basis == Some(Basis::Assumption));
    let worded: Vec<String> = worded.map(|rule| format!("`{}`", rule.name)).collect();
    format!(
        "Of these {} lines {} rest on public facts. On assumption rest: {}. Only the words of the answer are assumed of: {}.",
        all.len(),
        all.len() - assumed.len(),
        list(assumed),
        list(worded)
    )
}

fn basis_of_rule(rule: &Rule) -> String {
    let text = basis(rule.basis, &rule.source);
    match rule.answer_basis {
        Some(Basis::Assumption) => format!("{text}, its words on assumption"),
        Some(Basis::Fact) => format!("{text}, its words on a fact"),
        None => text,
    }
}

fn basis(basis: Basis, source: &str) -> String {
    let word = match basis {
        Basis::Fact => "fact",
        Basis::Assumption => "assumption",
    };
    format!("{word} ({source})")
}

/// What a rule does, in words.
fn what(rule: &Rule) -> String {
    let shown = |names: &[String]| {
        let names: Vec<String> =
            names.iter().map(|name| format!("`{}`", name.replace('|', " ").to_uppercase())).collect();
        names.join(", ")
    };
    let names = match (&*rule.commands, &*rule.except) {
        ([], []) => "any command".to_owned(),
        ([], except) => format!("any command but {}", shown(except)),
        (names, _) => shown(names),
    };
    let limit = rule.limit.unwrap_or_default();
    let when = match rule.when {
        When::Always => String::new(),
        When::InTransaction => " in a transaction".to_owned(),
        When::Watching => " while keys are watched".to_owned(),
        When::WithoutKeys => " without keys".to_owned(),
        When::OtherDatabase => " that names another database than 0".to_owned(),
        When::ArgumentsOver => format!(" with more than {limit} arguments"),
        When::KeyBytesOver => format!(" with a key of more than {limit} bytes"),
        When::ChannelBytesOver => format!(" with a channel of more than {limit} bytes"),
        When::ArgumentBytesOver => {
            format!(" whose argument {} has more than {limit} bytes", rule.argument.unwrap_or_default())
        }
        When::WatchedKeysOver => format!(" with which more than {limit} keys are watched"),
        When::WatchedSlots => " with keys of another slot than other watched ones".to_owned(),
        When::SeveralSlots => " or transaction with keys of several slots".to_owned(),
        When::ReachesFurther => " that reaches for keys of other slots by patterns".to_owned(),
        When::QueuedSlots => " queued with a key of another slot than the transaction's others".to_owned(),
        When::ScriptSlots => {
            " of a script that reaches for a key of another slot than the script's others".to_owned()
        }
        When::ScriptChannelSlot => {
            " of a script, with a channel of another slot than the script's keys".to_owned()
        }
        When::ChannelsLike => format!(" with a channel that begins with `{}`", rule.channels.join("`, `")),
        When::NewerThan => {
            format!(" newer than Valkey {}, or of Redis alone", rule.version.as_deref().unwrap_or_default())
        }
        When::PlainConnection => return "a connection without TLS is answered nothing".to_owned(),
    };
    let answer = match &rule.answer {
        Answer::Unknown => "is an unknown command".to_owned(),
        Answer::Ok => "is answered OK and does nothing".to_owned(),
        Answer::Note => "is served, and noted".to_owned(),
        Answer::Hang => "is answered nothing".to_owned(),
        Answer::Error(text) => format!("is answered `{text}`"),
    };
    format!("{names}{when} {answer}")
}
