//! The table in README.md that compares the command sets of Redis, Valkey and Kvarts. What Kvarts has, and the
//! versions of its commands, are read from the table of commands; what only the others have is listed here.

use std::fmt::Write as _;

use kvarts::command::Family;
use kvarts::engine::command::Command;

/// A row: what the commands are for, their names, and the versions of Redis and Valkey that first had one of
/// them; empty where that server has none.
type Row = (&'static str, &'static [&'static str], &'static str, &'static str);

/// What Redis 8.12 and Valkey 9.2 do not have both alike.
const ROWS: &[Row] = &[
    ("Delete by a comparison", &["DELEX"], "8.4", "9.2"),
    ("Digests of values", &["DIGEST"], "8.4", ""),
    ("Delete if equal", &["DELIFEQ"], "", "9.0"),
    ("Several keys with an expiry", &["MSETEX"], "8.4", "9.1"),
    ("Counters with bounds and expiry", &["INCREX"], "8.8", "9.2"),
    (
        "Fields of hashes that end",
        &[
            "HEXPIRE",
            "HPEXPIRE",
            "HEXPIREAT",
            "HPEXPIREAT",
            "HTTL",
            "HPTTL",
            "HEXPIRETIME",
            "HPEXPIRETIME",
            "HPERSIST",
        ],
        "7.4",
        "9.0",
    ),
    ("Fields read and set with an expiry", &["HGETEX", "HSETEX", "HGETDEL"], "8.0", "9.0"),
    ("Hashes in bulk", &["HIMPORT"], "8.10", ""),
    ("Streams: entries and groups' references together", &["XDELEX", "XACKDEL"], "8.2", ""),
    ("Streams: repeated entries left out", &["XCFGSET"], "8.6", ""),
    ("Streams: entries given back", &["XNACK"], "8.8", ""),
    ("Several elements moved between lists", &["LMOVEM", "BLMOVEM"], "8.10", ""),
    ("Sizes of unions and differences", &["SUNIONCARD", "SDIFFCARD"], "8.10", ""),
    (
        "Members of sets that end",
        &[
            "SEXPIRE",
            "SPEXPIRE",
            "SEXPIREAT",
            "SPEXPIREAT",
            "STTL",
            "SPTTL",
            "SEXPIRETIME",
            "SPEXPIRETIME",
            "SPERSIST",
            "SADDEX",
        ],
        "8.12",
        "",
    ),
    ("Members moved between sorted sets", &["ZMOVE", "BZMOVE", "ZMOVEMEMBER"], "8.12", ""),
    ("Keys that are never evicted", &["BLESS"], "8.12", ""),
    ("Hot keys", &["HOTKEYS"], "8.6", "9.2"),
    ("Backups", &["BACKUP"], "8.10", ""),
    ("Logs of slow and large commands", &["COMMANDLOG"], "", "8.1"),
    ("Roles of users", &["ACL|SETROLE", "ACL|GETROLE", "ACL|DELROLE", "ACL|ROLES"], "", "9.2"),
    ("What slots are used for", &["CLUSTER|SLOT-STATS"], "8.2", "8.0"),
    ("A walk over a cluster's keys", &["CLUSTERSCAN"], "", "9.1"),
    ("Slots moved as a whole", &["CLUSTER|MIGRATION"], "8.4", ""),
    (
        "Slots moved as a whole, Valkey's way",
        &["CLUSTER|MIGRATESLOTS", "CLUSTER|GETSLOTMIGRATIONS", "CLUSTER|CANCELSLOTMIGRATIONS"],
        "",
        "9.0",
    ),
    ("Sparse arrays", &["ARSET", "ARGET", "ARLEN", "ARSCAN"], "8.8", ""),
    ("Vector sets", &["VADD", "VSIM", "VREM", "VCARD"], "8.0", ""),
    ("JSON, Bloom filters, search", &["JSON.SET", "BF.ADD", "FT.SEARCH"], "8.0", "modules"),
];

/// Whether a table of commands has a command; a bar parts it from its subcommand.
fn find(commands: &[&'static Command], name: &str) -> Option<Family> {
    let (container, sub) = name.split_once('|').map_or((name, None), |(name, sub)| (name, Some(sub)));
    let command = commands.iter().find(|command| command.name.eq_ignore_ascii_case(container))?;
    let Some(sub) = sub else { return Some(command.family) };
    let sub = command.subcommands.iter().find(|known| known.name.eq_ignore_ascii_case(sub))?;
    Some(if sub.family == Family::Both { command.family } else { sub.family })
}

fn number(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').expect("two numbers");
    (major.parse().expect("a number"), minor.parse().expect("a number"))
}

/// The versions of Redis and Valkey; empty for none.
fn versions(family: Family) -> [&'static str; 2] {
    match family {
        Family::Redis(redis) => [redis, ""],
        Family::Valkey(valkey) => ["", valkey],
        Family::Each(redis, valkey) => [redis, valkey],
        Family::Both | Family::Kvarts => ["", ""],
    }
}

/// The table as README.md shows it.
pub fn table() -> String {
    let commands: Vec<&'static Command> = kvarts::commands::groups().into_iter().flatten().collect();
    let count = |wanted: fn(Family) -> bool| {
        let all = commands.iter().flat_map(|command| match command.subcommands {
            [] => vec![command.family],
            subs => {
                let own = |family| if family == Family::Both { command.family } else { family };
                subs.iter().map(|sub| own(sub.family)).collect()
            }
        });
        all.filter(|family| wanted(*family)).count()
    };
    let [both, redis, valkey, each] = [
        count(|family| family == Family::Both),
        count(|family| matches!(family, Family::Redis(_))),
        count(|family| matches!(family, Family::Valkey(_))),
        count(|family| matches!(family, Family::Each(..))),
    ];
    let mut text = format!(
        "Kvarts has {} commands and subcommands: {both} from the time before Redis and Valkey parted, {each} that both have \
         added\nsince, {redis} of Redis alone and {valkey} of Valkey alone. docs/commands.md has the version of each. What the \
         three do not\nshare, with the version that first had it:\n\n| | Commands | Redis 8.12 | Valkey 9.2 | Kvarts \
         |\n|---|---|---|---|---|\n",
        both + redis + valkey + each + count(|family| family == Family::Kvarts),
    );
    for (what, names, redis, valkey) in ROWS {
        let there: Vec<Option<Family>> = names.iter().map(|name| find(&commands, name)).collect();
        let known: Vec<[&str; 2]> = there.iter().flatten().map(|family| versions(*family)).collect();
        for (at, said) in [redis, valkey].into_iter().enumerate() {
            let first = known.iter().map(|both| both[at]).filter(|version| !version.is_empty());
            if !known.is_empty() && known.len() == names.len() {
                let first = first.min_by_key(|version| number(version)).unwrap_or_default();
                assert_eq!(first, *said, "{what}: the entries of the commands say so");
            }
        }
        let here = match known.len() {
            0 => "no",
            all if all == names.len() => "yes",
            _ => "in part",
        };
        let shown =
            |version: &&str| if version.is_empty() { "–".to_owned() } else { (*version).to_owned() };
        let names = names.iter().map(|name| name.replace('|', " ")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "| {what} | {names} | {} | {} | {here} |", shown(redis), shown(valkey));
    }
    text
}

/// Commands that one of the two servers has, and not the other, stand in a row.
#[test]
fn each_command_of_one_family_has_a_row() {
    /// Too small for a row: docs/commands.md alone shows these.
    const SMALL: &[&str] = &["CLIENT|CAPA", "CLIENT|IMPORT-SOURCE", "SCRIPT|SHOW", "XIDMPRECORD"];
    let mut missing = Vec::new();
    for command in kvarts::commands::groups().into_iter().flatten() {
        let name = command.name.to_ascii_uppercase();
        let subs = command.subcommands.iter().filter(|sub| sub.family != Family::Both);
        let subs = subs.map(|sub| format!("{name}|{}", sub.name.to_ascii_uppercase()));
        let own = (command.family != Family::Both && command.family != Family::Kvarts).then(|| name.clone());
        missing.extend(own.into_iter().chain(subs).filter(|name| {
            let container = name.split('|').next().unwrap_or_default();
            let has_row =
                ROWS.iter().any(|row| row.1.iter().any(|known| known == name || *known == container));
            !has_row && !SMALL.contains(&name.as_str())
        }));
    }
    assert_eq!(missing, Vec::<String>::new());
}
