//! Rules against naive models of what they mean.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::check::{Asked, Reason, check};
use super::rules::{RuleError, Rules, join_selectors, without_passwords};
use super::user::User;
use crate::command::keys::{KeyPosition, KeySpec};
use crate::command::spec::Category;
use crate::command::table::CommandTable;

fn table() -> crate::engine::command::Commands {
    crate::engine::command::Commands::new(&crate::commands::groups())
}

fn rules(commands: &CommandTable) -> Rules<'_> {
    Rules { commands, all_channels: false, roles: &super::role::NO_ROLES }
}

fn apply(commands: &CommandTable, user: &mut User, words: &[String]) -> Result<(), RuleError> {
    let words = join_selectors(words).expect("whole selectors");
    words.iter().try_for_each(|word| rules(commands).apply(user, word))
}

/// The line of a user, read again.
fn read_again(commands: &CommandTable, user: &User) -> User {
    let line = String::from_utf8(user.describe()).expect("text");
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let mut again = rules(commands).new_user(&user.name, user.id);
    apply(commands, &mut again, &words).expect("its own description");
    again
}

/// Names of commands, with some that have subcommands, and of those.
const COMMANDS: [&str; 8] = ["get", "set", "hset", "config", "config|get", "client|kill", "client", "sadd"];

fn command_rule() -> impl Strategy<Value = String> {
    let sign = prop_oneof![Just("+"), Just("-")];
    let category = (0..Category::ALL.len()).prop_map(|place| format!("@{}", Category::ALL[place].name()));
    let name = prop_oneof![
        5 => (0..COMMANDS.len()).prop_map(|place| COMMANDS[place].to_owned()),
        4 => category,
        1 => Just("@all".to_owned()),
    ];
    (sign, name).prop_map(|(sign, name)| format!("{sign}{name}"))
}

fn selector_rule() -> impl Strategy<Value = String> {
    let letters = "[a-c*?]{0,3}";
    prop_oneof![
        4 => command_rule(),
        2 => letters.prop_map(|pattern| format!("~{pattern}")),
        1 => letters.prop_map(|pattern| format!("%R~{pattern}")),
        1 => letters.prop_map(|pattern| format!("%W~{pattern}")),
        2 => letters.prop_map(|pattern| format!("&{pattern}")),
        1 => proptest::collection::vec(0..5u32, 1..4).prop_map(|numbers| {
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            format!("db={}", numbers.join(","))
        }),
        1 => Just("+get|A".to_owned()),
        1 => prop_oneof![
            Just("allkeys"), Just("resetkeys"), Just("allchannels"), Just("resetchannels"), Just("alldbs"),
            Just("resetdbs"), Just("allcommands"), Just("nocommands"),
        ].prop_map(str::to_owned),
    ]
}

fn user_rule() -> impl Strategy<Value = String> {
    prop_oneof![
        10 => selector_rule(),
        2 => proptest::collection::vec(selector_rule(), 0..4).prop_map(|inner| format!("({})", inner.join(" "))),
        1 => "[a-z]{1,3}".prop_map(|password| format!(">{password}")),
        1 => prop_oneof![Just("on"), Just("off"), Just("nopass"), Just("resetpass"), Just("clearselectors"), Just("reset")]
            .prop_map(str::to_owned),
    ]
}

#[test]
fn all_keys_in_two_rules_are_all_keys() {
    let commands = table();
    let mut user = rules(&commands).new_user(b"u", 1);
    for rule in ["%R~*", "~a", "%W~*"] {
        rules(&commands).apply(&mut user, rule.as_bytes()).unwrap();
    }
    assert_eq!(rules(&commands).apply(&mut user, b"~"), Err(RuleError::KeyAfterAllKeys));
    assert_eq!(read_again(&commands, &user).describe(), user.describe());
}

proptest! {
    /// What is written of a user makes the same user.
    #[test]
    fn a_description_describes(words in proptest::collection::vec(user_rule(), 0..12)) {
        let commands = table();
        let mut user = rules(&commands).new_user(b"u", 1);
        for word in &words {
            // Some contradict those before.
            let before = user.clone();
            if rules(&commands).apply(&mut user, word.as_bytes()).is_err() {
                user = before;
            }
        }
        let again = read_again(&commands, &user);
        prop_assert_eq!(String::from_utf8(again.describe()), String::from_utf8(user.describe()));
        prop_assert_eq!(again.is_open(), user.is_open());
        prop_assert_eq!(&again.passwords, &user.passwords);
        for entry in commands.entries() {
            for (one, other) in user.all_selectors().zip(again.all_selectors()) {
                for argument in [None, Some(b"a".as_slice()), Some(b"b")] {
                    prop_assert_eq!(
                        one.allows_command(entry.id, argument),
                        other.allows_command(entry.id, argument),
                        "{} after {:?}", entry.full_name, words
                    );
                }
            }
        }
    }

    /// Commands are allowed by the last rule that speaks of them.
    #[test]
    fn the_last_rule_for_a_command_holds(words in proptest::collection::vec(command_rule(), 0..12)) {
        let commands = table();
        let mut user = rules(&commands).new_user(b"u", 1);
        apply(&commands, &mut user, &words).expect("known commands");
        let mut allowed: BTreeMap<&str, bool> = BTreeMap::new();
        for word in &words {
            let (allow, name) = (word.starts_with('+'), &word[1..]);
            for entry in commands.entries() {
                let container = entry.full_name.split('|').next().unwrap_or_default();
                let in_category = |category: &str, name: &str| {
                    let entry = commands.by_full_name(name.as_bytes()).expect("there");
                    entry.spec.all_categories().iter().any(|known| known.name() == category)
                };
                let meant = match name.strip_prefix('@') {
                    Some("all") => true,
                    Some(category) => in_category(category, &entry.full_name) || in_category(category, container),
                    None => name == entry.full_name || name == container,
                };
                if meant {
                    allowed.insert(&entry.full_name, allow);
                }
            }
        }
        for entry in commands.entries() {
            let expected = allowed.get(entry.full_name.as_str()).copied().unwrap_or(false);
            prop_assert_eq!(user.root.allows_command(entry.id, None), expected, "{}", entry.full_name);
        }
    }

    /// Keys, channels and databases against sets of names.
    #[test]
    fn names_are_looked_up(
        keys in proptest::collection::vec((1..4u8, "[ab]{1,2}"), 0..5),
        databases in proptest::collection::btree_set(0..4usize, 0..4),
        key in "[ab]{1,2}",
        flags in prop_oneof![
            Just(KeySpec::RO), Just(KeySpec::RO | KeySpec::ACCESS), Just(KeySpec::OW | KeySpec::UPDATE),
            Just(KeySpec::RW | KeySpec::ACCESS | KeySpec::INSERT), Just(KeySpec::RM | KeySpec::DELETE),
        ],
        database in 0..4usize,
    ) {
        let commands = table();
        let mut user = rules(&commands).new_user(b"u", 1);
        let mut words = vec!["+@all".to_owned(), "resetdbs".to_owned()];
        words.extend(keys.iter().map(|(access, name)| match access {
            1 => format!("%R~{name}"),
            2 => format!("%W~{name}"),
            _ => format!("~{name}"),
        }));
        if !databases.is_empty() {
            let numbers: Vec<String> = databases.iter().map(usize::to_string).collect();
            words.push(format!("db={}", numbers.join(",")));
        }
        apply(&commands, &mut user, &words).expect("good rules");
        let access = keys.iter().filter(|(_, name)| *name == key).fold(0, |all, (access, _)| all | access);
        let named = keys.iter().any(|(_, name)| *name == key);
        let reads = flags & KeySpec::ACCESS != 0;
        let writes = flags & (KeySpec::INSERT | KeySpec::DELETE | KeySpec::UPDATE) != 0;
        let allowed = named && (!reads || access & 1 != 0) && (!writes || access & 2 != 0);
        let entry = commands.by_full_name(b"get").expect("get");
        let arguments = [b"get".as_slice(), key.as_bytes()];
        let keys = [KeyPosition { argument: 1, flags }];
        let asked = Asked { entry, arguments: &arguments, keys: &keys, database, database_count: 16 };
        let reason = check(&user, &asked).map_err(|denied| denied.reason);
        let expected = match (databases.contains(&database), allowed) {
            (false, _) => Err(Reason::Database),
            (true, false) => Err(Reason::Key),
            (true, true) => Ok(()),
        };
        prop_assert_eq!(reason, expected);
    }

    /// No bytes make it panic.
    #[test]
    fn any_rule_is_read(words: Vec<Vec<u8>>) {
        let commands = table();
        let mut user = rules(&commands).new_user(b"u", 1);
        if let Ok(words) = join_selectors(&words) {
            for word in words {
                let _ = rules(&commands).apply(&mut user, &word);
                without_passwords(&word);
            }
        }
        drop(user.describe());
    }
}

#[test]
fn every_category_is_its_own_description() {
    let commands = table();
    for category in Category::ALL {
        for (first, sign) in [("+@all", '-'), ("-@all", '+')] {
            let mut user = rules(&commands).new_user(b"u", 1);
            let rule = format!("{sign}@{}", category.name());
            apply(&commands, &mut user, &[first.to_owned(), rule.clone()]).expect("known");
            assert_eq!(user.root.describe_commands(), format!("{first} {rule}").into_bytes());
        }
    }
}

#[test]
fn selectors_are_joined_from_their_words() {
    let join = |words: &[&str]| join_selectors(words).map_err(|open| String::from_utf8(open).expect("text"));
    let texts = |words: &[&str]| -> Result<Vec<Vec<u8>>, String> {
        Ok(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    };
    assert_eq!(join(&["on", "(+get", "~a)", "(+set)"]), texts(&["on", "(+get ~a)", "(+set)"]));
    assert_eq!(join(&["(", ")", "off"]), texts(&["( )", "off"]));
    assert_eq!(join(&["(a", "(b", "c)", ")"]), texts(&["(a (b c)", ")"]));
    assert_eq!(join(&["on", "(+get", "~a"]), Err("(+get".to_owned()));
}

#[test]
fn unrestricted_is_only_who_may_do_everything() {
    let commands = table();
    let mut user = User::everything(b"u", 1, commands.entries().len());
    assert!(user.is_unrestricted());
    for rule in ["-get", "resetkeys", "resetchannels", "resetdbs", "db=0", "-@all"] {
        let mut less = user.clone();
        apply(&commands, &mut less, &[rule.to_owned()]).expect("known");
        assert!(!less.is_unrestricted(), "{rule}");
    }
    apply(&commands, &mut user, &["-get".to_owned(), "+@all".to_owned()]).expect("known");
    assert!(user.is_unrestricted());
    let names: BTreeSet<&str> = commands.entries().iter().map(|entry| entry.full_name.as_str()).collect();
    assert!(COMMANDS.iter().all(|name| names.contains(name)));
}
