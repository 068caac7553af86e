//! The form of the compose file: read as YAML and held against what compose takes, and against what a service of this
//! program has to have. Where `docker compose` is installed, it is asked too.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use yaml_rust2::{Yaml, YamlLoader};

use crate::image;

/// What a service may have here: a word with a typing mistake is not among them.
const KEYS: [&str; 22] = [
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "entrypoint",
    "environment",
    "expose",
    "healthcheck",
    "hostname",
    "image",
    "mem_limit",
    "networks",
    "ports",
    "profiles",
    "read_only",
    "restart",
    "security_opt",
    "stop_grace_period",
    "tmpfs",
    "ulimits",
    "user",
    "volumes",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pairs of a map, those of `<<` included where the map does not have them itself.
fn pairs(map: &Yaml) -> Vec<(String, Yaml)> {
    let own = map.as_hash().unwrap_or_else(|| panic!("a map: {map:?}"));
    let name = |key: &Yaml| key.as_str().unwrap_or_else(|| panic!("a name: {key:?}")).to_owned();
    let mut all: Vec<(String, Yaml)> =
        own.iter().map(|(key, value)| (name(key), value.clone())).filter(|(key, _)| key != "<<").collect();
    if let Some(base) = own.get(&Yaml::String("<<".to_owned())) {
        for (key, value) in pairs(base) {
            if !all.iter().any(|(known, _)| *known == key) {
                all.push((key, value));
            }
        }
    }
    all
}

fn get(map: &Yaml, key: &str) -> Yaml {
    pairs(map).into_iter().find(|(known, _)| known == key).map_or(Yaml::BadValue, |(_, value)| value)
}

/// The texts of a list.
fn texts(list: &Yaml) -> Vec<String> {
    let items = list.as_vec().unwrap_or_else(|| panic!("a list: {list:?}"));
    items.iter().map(|item| item.as_str().unwrap_or_else(|| panic!("a text: {item:?}")).to_owned()).collect()
}

fn file() -> Yaml {
    let text = std::fs::read_to_string(root().join("docker-compose.yml")).expect("it is there");
    YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{error}")).swap_remove(0)
}

fn services() -> Vec<(String, Yaml)> {
    pairs(&get(&file(), "services"))
}

/// Seconds of a duration (`1m`, `30s`).
fn seconds(text: &Yaml) -> u64 {
    let text = text.as_str().unwrap_or_else(|| panic!("a duration: {text:?}"));
    let (number, unit) = text.split_at(text.len() - 1);
    number.parse::<u64>().expect("a number") * if unit == "m" { 60 } else { u64::from(unit == "s") }
}

/// Whether compose takes the text for a variable of the environment where the file does not mean one.
fn has_stray_dollar(text: &str) -> bool {
    text.replace("$$", "").match_indices('$').any(|(at, _)| !text.replace("$$", "")[at..].starts_with("${"))
}

fn has_stray_dollar_anywhere(value: &Yaml) -> bool {
    match value {
        Yaml::String(text) => has_stray_dollar(text),
        Yaml::Array(items) => items.iter().any(has_stray_dollar_anywhere),
        Yaml::Hash(map) => map.values().any(has_stray_dollar_anywhere),
        _ => false,
    }
}

/// Name of the service whose image is made of a folder of this project, or nothing.
fn is_ours(service: &Yaml) -> bool {
    get(service, "image").as_str().is_some_and(|image| image == "kvarts" || image.starts_with("kvarts:"))
}

#[test]
fn compose_takes_every_word() {
    let file = file();
    let top: BTreeSet<String> = pairs(&file).into_iter().map(|(key, _)| key).collect();
    let known = |key: &String| ["services", "volumes", "networks"].contains(&&**key) || key.starts_with("x-");
    assert!(top.iter().all(known), "{top:?}");
    let volumes: BTreeSet<String> = pairs(&get(&file, "volumes")).into_iter().map(|(name, _)| name).collect();
    let services = services();
    let names: BTreeSet<&String> = services.iter().map(|(name, _)| name).collect();
    let mut used = BTreeSet::new();
    for (name, service) in &services {
        for (key, value) in pairs(service) {
            assert!(KEYS.contains(&&*key), "{name}: {key}");
            assert!(
                !has_stray_dollar_anywhere(&value),
                "{name}: {key}: $ stands for a variable, $$ for a dollar"
            );
        }
        check_build(name, &get(service, "build"));
        if let Some(others) = get(service, "depends_on").as_hash() {
            for (other, how) in others {
                assert!(names.contains(&other.as_str().expect("a name").to_owned()), "{name}: {other:?}");
                let condition = get(how, "condition");
                let condition = condition.as_str().expect("a condition");
                assert!(
                    ["service_started", "service_healthy", "service_completed_successfully"]
                        .contains(&condition),
                    "{condition}"
                );
            }
        }
        if let list @ Yaml::Array(_) = &get(service, "ports") {
            for port in texts(list) {
                let parts: Vec<&str> = port.split(':').collect();
                let [address, outside, inside] = parts[..] else { panic!("{name}: {port}") };
                assert_eq!(address, "127.0.0.1", "{name}: nobody is asked for a password");
                assert!(outside.parse::<u16>().is_ok() && inside.parse::<u16>().is_ok(), "{port}");
            }
        }
        if let list @ Yaml::Array(_) = &get(service, "volumes") {
            for volume in texts(list) {
                let parts: Vec<&str> = volume.split(':').collect();
                assert!(matches!(parts[..], [_, _] | [_, _, "ro"]), "{name}: {volume}");
                assert!(volumes.contains(parts[0]) && parts[1].starts_with('/'), "{name}: {volume}");
                used.insert(parts[0].to_owned());
                // A volume that is new belongs to whom its folder in the image belongs to, and to root without one.
                if is_ours(service) {
                    let stage = image::stage(if has_shell(service) { "shell" } else { "image" });
                    let folder = format!("--chown={} /", stage.one("USER"));
                    let made =
                        |copy: &&str| copy.contains(&folder) && copy.ends_with(&format!(" {}", parts[1]));
                    assert!(stage.all("COPY").iter().any(made), "{name}: {volume}");
                }
            }
        }
    }
    assert_eq!(used, volumes, "volumes that nobody uses");
}

/// A folder that is there, with a Dockerfile that has the stage.
fn check_build(name: &str, build: &Yaml) {
    let (folder, target) = match build {
        Yaml::BadValue => return,
        Yaml::String(folder) => (folder.clone(), None),
        map => {
            let target = get(map, "target").as_str().map(str::to_owned);
            (get(map, "context").as_str().expect("a folder").to_owned(), target)
        }
    };
    assert!(root().join(&folder).join("Dockerfile").is_file(), "{name}: {folder}");
    if let Some(target) = target {
        assert_eq!(image::stage(&target).name, target);
    }
}

/// Whether its image is the one with a shell.
fn has_shell(service: &Yaml) -> bool {
    let build = get(service, "build");
    build.as_hash().is_some() && get(&build, "target").as_str() == Some("shell")
}

#[test]
fn services_of_this_program_are_shut_in() {
    let services = services();
    let ours: Vec<_> = services.iter().filter(|(_, service)| is_ours(service)).collect();
    assert!(ours.len() >= 6, "{}", ours.len());
    for (name, service) in ours {
        assert_eq!(get(service, "read_only"), Yaml::Boolean(true), "{name}");
        assert_eq!(texts(&get(service, "cap_drop")), ["ALL"], "{name}");
        assert_eq!(texts(&get(service, "security_opt")), ["no-new-privileges:true"], "{name}");
        assert_eq!(get(service, "user"), Yaml::BadValue, "{name}: the image's user, who is not root");
        assert_eq!(get(service, "mem_limit").as_str(), Some("1g"), "{name}");
        let test = get(&get_map(&get(service, "healthcheck")), "test");
        let wants_shell = !get(service, "entrypoint").is_badvalue()
            || test.as_vec().is_some_and(|test| test[0].as_str() == Some("CMD-SHELL"));
        assert_eq!(wants_shell, has_shell(service), "{name}: a shell is where it is needed");
        if get(service, "restart").as_str() == Some("no") {
            continue;
        }
        assert_eq!(get(service, "restart").as_str(), Some("unless-stopped"), "{name}");
        assert!(seconds(&get(service, "stop_grace_period")) >= 60, "{name}");
        assert!(
            get(&get(service, "ulimits"), "nofile").as_i64().is_some_and(|most| most >= 65_536),
            "{name}"
        );
        let folder = image::stage("image").one("VOLUME").to_owned();
        assert_eq!(texts(&get(service, "volumes")), [format!("{name}:{folder}")], "{name}");
        let check = get(service, "healthcheck");
        let test = texts(&get(&check, "test"));
        assert!(test[0] == "CMD" || test[0] == "CMD-SHELL", "{name}: {test:?}");
        assert!(test.iter().any(|word| word.contains("--health-check")), "{name}: {test:?}");
        assert!(seconds(&get(&check, "interval")) >= seconds(&get(&check, "timeout")), "{name}");
        // The server evicts, or refuses, before the kernel kills it.
        let text = match get(service, "command") {
            list @ Yaml::Array(_) => texts(&list).join(" "),
            other => panic!("{name}: {other:?}"),
        };
        let (_, rest) = text.split_once("maxmemory ").unwrap_or_else(|| panic!("{name}: {text}"));
        let most: u64 = rest.split("mb").next().and_then(|number| number.parse().ok()).expect("megabytes");
        assert!(most <= 768, "{name}: {most} of 1g");
        // A name in the network of the services has a dot, or clients in Java would not say that they called it.
        let names = text.split_once("--tls-auto-names ").and_then(|(_, rest)| rest.split(' ').next());
        if let Some(called) = names {
            let networks = get(&get(service, "networks"), "default");
            assert!(
                called.contains('.') && texts(&get(&networks, "aliases")).iter().any(|name| name == called)
            );
        }
    }
}

/// The map itself, or one without anything for a text.
fn get_map(value: &Yaml) -> Yaml {
    if value.as_hash().is_some() { value.clone() } else { Yaml::Hash(yaml_rust2::yaml::Hash::new()) }
}

#[test]
fn compose_itself_reads_it() {
    let compose = |words: &[&str]| {
        let mut command = Command::new("docker");
        command.arg("compose").args(words).current_dir(root()).output()
    };
    if !compose(&["version"]).is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no docker compose");
        return;
    }
    let output = compose(&["--profile", "*", "config", "--quiet"]).expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
