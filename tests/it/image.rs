//! The Dockerfile. No container engine is asked: what is checked is that the folder which the build is given has all
//! that it reads, that the stages fit together, and what the build's own steps call for each kind of machine.
//! What the base images hold is not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A stage of the Dockerfile.
#[derive(Debug, Default)]
pub struct Stage {
    /// What it is called (`AS`); empty for none.
    pub name: String,
    /// The image or stage that it begins with.
    pub base: String,
    /// Its instructions in their order: word and rest of the line, continued lines joined.
    pub steps: Vec<(String, String)>,
}

impl Stage {
    /// The rests of all instructions of this kind.
    pub fn all(&self, word: &str) -> Vec<&str> {
        self.steps.iter().filter(|(step, _)| step == word).map(|(_, rest)| &**rest).collect()
    }

    /// The rest of the only instruction of this kind.
    pub fn one(&self, word: &str) -> &str {
        let all = self.all(word);
        assert_eq!(all.len(), 1, "{word} in {}", self.name);
        all[0]
    }

    /// The words of an instruction in the form of a list.
    pub fn list(&self, word: &str) -> Vec<String> {
        let text = self.one(word);
        let list = &text[text.find('[').unwrap_or_else(|| panic!("{word} is a list"))..];
        serde_json::from_str(list).unwrap_or_else(|error| panic!("{word} {list}: {error}"))
    }
}

/// The stages of the Dockerfile.
pub fn stages() -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut line = String::new();
    for part in read("Dockerfile").lines().filter(|line| !line.trim_start().starts_with('#')) {
        line.push_str(part.trim());
        if let Some(open) = line.strip_suffix('\\') {
            line = format!("{open} ");
            continue;
        }
        let taken = std::mem::take(&mut line);
        let Some((word, rest)) = taken.split_once(' ') else { continue };
        if word != "FROM" {
            let stage = stages.last_mut().expect("a stage begins with FROM");
            stage.steps.push((word.to_owned(), rest.to_owned()));
            continue;
        }
        let words: Vec<&str> = rest.split(' ').filter(|word| !word.starts_with("--")).collect();
        let name = if words.len() == 3 && words[1] == "AS" { words[2] } else { "" };
        stages.push(Stage { name: name.to_owned(), base: words[0].to_owned(), steps: Vec::new() });
    }
    stages
}

/// The stage of this name.
pub fn stage(name: &str) -> Stage {
    stages().into_iter().find(|stage| stage.name == name).unwrap_or_else(|| panic!("no stage {name}"))
}

/// What `.dockerignore` lets into the build.
fn kept() -> Vec<PathBuf> {
    let text = read(".dockerignore");
    let mut lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"), "first everything is left out");
    lines.map(|line| PathBuf::from(line.strip_prefix('!').expect("then some is let in"))).collect()
}

/// The files below the project of which the program was made, as the compiler wrote them down at each of its builds.
fn files_read() -> BTreeSet<PathBuf> {
    let test = std::env::current_exe().expect("this program");
    let entries = std::fs::read_dir(test.parent().expect("in a folder")).expect("readable");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_list = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with("kvarts-") && path.extension().is_some_and(|extension| extension == "d")
    };
    let lists = paths.filter(is_list).map(|path| std::fs::read_to_string(path).expect("readable"));
    let text = lists.collect::<String>();
    let files = text.lines().filter_map(|line| line.split_once(": ")).flat_map(|(_, files)| files.split(' '));
    files.map(PathBuf::from).filter(|path| path.is_relative() && root().join(path).is_file()).collect()
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir_all(to).expect("a folder");
        for entry in std::fs::read_dir(from).expect("readable") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        std::fs::create_dir_all(to.parent().expect("it is in a folder")).expect("a folder");
        std::fs::copy(from, to).expect("it is copied");
    }
}

/// Once the profiles, which the program includes, were not let in.
#[test]
fn the_build_is_given_all_that_it_reads() {
    let (kept, read) = (kept(), files_read());
    assert!(read.len() > 300 && read.contains(Path::new("src/main.rs")), "{} files", read.len());
    let is_kept = |path: &Path| kept.iter().any(|kept| path.starts_with(kept));
    let missing: Vec<_> = read.iter().filter(|path| !is_kept(path)).collect();
    assert!(missing.is_empty(), "left out of the image's build: {missing:?}");
    // And cargo takes the folder for a package.
    let dir = TempDir::new();
    for path in &kept {
        assert!(root().join(path).exists(), "{}", path.display());
        copy(&root().join(path), &dir.path().join(path));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"]);
    let output = command.current_dir(dir.path()).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_stages_fit_together() {
    let stages = stages();
    let named = |name: &str| stages.iter().any(|stage| stage.name == name);
    for stage in &stages {
        for copied in stage.all("COPY") {
            let words: Vec<&str> = copied.split(' ').collect();
            match words.iter().find_map(|word| word.strip_prefix("--from=")) {
                Some(from) => assert!(named(from), "{copied}"),
                None => assert_eq!(words, [".", "."], "the whole folder, which another test looks at"),
            }
        }
    }
    // What is made unless another target is asked for has nothing in it but what is copied there.
    assert_eq!(stages.last().expect("stages").base, "image");
    assert_eq!(stage("image").base, "scratch");
    let build = stage("build");
    let made = build.all("RUN").into_iter().find(|run| run.contains("cargo build")).expect("it builds");
    for name in ["image", "shell"] {
        let stage = stage(name);
        let program = "/usr/local/bin/kvarts";
        let from_build = format!("--from=build /image{program} {program}");
        let from_image = format!("--from=image {program} {program}");
        let copies = stage.all("COPY");
        assert!(copies.iter().any(|copied| *copied == from_build || *copied == from_image), "{copies:?}");
        assert!(made.contains(&format!("/release/kvarts\" /image{program} ")), "{made}");
        assert_eq!(stage.list("ENTRYPOINT"), [program]);
        assert_eq!(stage.list("CMD"), ["--protected-mode", "no"]);
        assert!(stage.one("HEALTHCHECK").contains(" CMD ["), "a check without a shell");
        assert_eq!(stage.list("HEALTHCHECK"), [program, "--health-check"]);
        // Its data are its user's, who is not root.
        let user = stage.one("USER");
        let (id, group) = user.split_once(':').expect("user and group");
        assert!([id, group].iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user}");
        assert!(
            copies
                .iter()
                .any(|copied| copied.contains(&format!("--chown={user} ")) && copied.ends_with(" /data"))
        );
        assert_eq!((stage.one("WORKDIR"), stage.one("VOLUME")), ("/data", "/data"));
        assert_eq!(stage.one("EXPOSE"), "6379 6380");
    }
}

/// Runs a step of the build with programs that only say how they were called. Returns what they said, or nothing
/// where the step fails.
fn called(step: &str, build: &str, target: &str) -> Option<Vec<String>> {
    let dir = TempDir::new();
    let log = dir.path().join("called");
    for program in ["apt-get", "rm", "rustup", "cargo", "install"] {
        let path = dir.path().join(program);
        let text = format!("#!/bin/sh\necho \"{program} $*\" >> '{}'\n", log.display());
        std::fs::write(&path, text).expect("a script");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("it can be run");
    }
    let mut command = Command::new("/bin/sh");
    command.args(["-c", step]).env_clear().env("PATH", dir.path()).current_dir(dir.path());
    let output = command.env("BUILDARCH", build).env("TARGETARCH", target).output().expect("sh runs");
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    output.status.success().then(|| text.lines().map(str::to_owned).collect())
}

#[test]
fn the_build_is_for_the_machine_that_was_asked_for() {
    let build = stage("build");
    let variables = build.all("ENV").join("\n");
    assert!(
        variables.contains("RUSTFLAGS=\"-C target-feature=+crt-static\""),
        "nothing is beside the program"
    );
    let [tools, make] = build.all("RUN")[..] else { panic!("two steps") };
    for (arch, rust, gnu) in [
        ("amd64", "x86_64-unknown-linux-gnu", "x86-64-linux-gnu"),
        ("arm64", "aarch64-unknown-linux-gnu", "aarch64-linux-gnu"),
    ] {
        for on in ["amd64", "arm64"] {
            let tools = called(tools, on, arch).expect("tools are installed");
            let install = tools.iter().find(|line| line.starts_with("apt-get install")).expect("it installs");
            let others = format!(" gcc-{gnu} libc6-dev-{arch}-cross");
            assert_eq!(install.ends_with(&others), on != arch, "{install}");
            assert!(install.contains(" gcc libc6-dev"), "what runs at build time is for the machine at hand");
            let linker = format!("CARGO_TARGET_{}_LINKER=", rust.to_uppercase().replace('-', "_"));
            let program = format!("{linker}{}-gcc", gnu.replace("x86-64", "x86_64"));
            assert!(variables.contains(&program), "{program}");
            let made = called(make, on, arch).expect("it is built");
            assert_eq!(
                made,
                [
                    format!("rustup target add {rust}"),
                    format!("cargo build --release --locked --bin kvarts --target {rust}"),
                    format!("install -D target/{rust}/release/kvarts /image/usr/local/bin/kvarts"),
                    "install -d -m 0750 /image/data".to_owned(),
                ]
            );
        }
    }
    assert_eq!(called(make, "amd64", "riscv64"), None);
    assert_eq!(called(make, "amd64", ""), None, "a builder that does not say for what");
}
