//! What is known of the server that a health check runs beside: from its configuration file, or in a container from the
//! command line of process 1, which is the server there.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::config::cli::{self, CliError};
use crate::config::{Config, Directive, system_words};

/// The folder with the system's facts about process 1.
const PROCESS_ONE: &str = "/proc/1";

/// How to ask a server, as its own configuration says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Beside {
    /// The port to ask, and whether it takes TLS clients only.
    pub port: Option<u16>,
    pub tls: bool,
    /// Password of the default user.
    pub password: Option<Vec<u8>>,
    /// Its `dir`, with the authority that it makes.
    pub dir: Option<PathBuf>,
    /// Whether it shows a certificate that was given to it, for which its own authority does not vouch.
    pub has_own_certificate: bool,
}

/// What a health check knows before it asks.
#[derive(Debug)]
pub(super) struct Known {
    /// What the server's configuration says.
    pub beside: Beside,
    /// The password that somebody gave to the check itself.
    pub given_password: Option<Vec<u8>>,
}

/// Bytes of a file that is read: as many as a configuration may have.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// Checks that a file can be read to its end at once: no pipe that nobody writes to, no device that never ends.
///
/// # Errors
/// With what is wrong.
pub(super) fn check_file(path: &Path) -> Result<(), String> {
    let failed = |why: &str| Err(format!("can't read '{}': {why}", path.display()));
    let of_system = |error: std::io::Error| failed(&system_words(&error));
    match std::fs::metadata(path) {
        Err(error) => return of_system(error),
        Ok(meta) if meta.is_dir() => return failed("it is a folder"),
        Ok(meta) if !meta.is_file() => return failed("it is no regular file"),
        Ok(meta) if meta.len() > FILE_MAX_BYTES => {
            return failed(&format!("longer than {FILE_MAX_BYTES} bytes"));
        }
        Ok(_) => {}
    }
    std::fs::File::open(path).map(drop).or_else(of_system)
}

/// Reads a file to its end, which may be a pipe that somebody writes to.
///
/// # Errors
/// With what is wrong.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map(|file| file.take(FILE_MAX_BYTES + 1));
    let why = match file.and_then(|mut file| file.read_to_end(&mut content)) {
        Ok(_) if content.len() as u64 <= FILE_MAX_BYTES => return Ok(content),
        Ok(_) => format!("longer than {FILE_MAX_BYTES} bytes"),
        Err(error) => system_words(&error),
    };
    Err(format!("can't read '{}': {why}", path.display()))
}

impl Beside {
    /// A server with this configuration file.
    ///
    /// # Errors
    /// With what is wrong with the file.
    pub fn of_file(path: &Path) -> Result<Self, CliError> {
        let program = OsString::from("kvarts");
        Ok(Self::of(&cli::from_args([program, path.as_os_str().to_owned()])?, Path::new("")))
    }

    /// The server that is process 1, if it is one.
    pub fn of_process_one() -> Option<Self> {
        let folder = Path::new(PROCESS_ONE);
        let line = std::fs::read(folder.join("cmdline")).ok()?;
        Self::of_command_line(&line, &std::fs::read_link(folder.join("cwd")).unwrap_or_default())
    }

    /// The server that was started in a folder by these words, each with a zero behind it.
    fn of_command_line(line: &[u8], folder: &Path) -> Option<Self> {
        let mut words: Vec<OsString> = line
            .strip_suffix(b"\0")?
            .split(|byte| *byte == 0)
            .map(|word| OsStr::from_bytes(word).to_owned())
            .collect();
        let program = Path::new(words.first()?).file_name()?;
        // What it read from its standard input is not known here.
        if program != "kvarts" || words.iter().any(|word| word == "-" || word == "--health-check") {
            return None;
        }
        if let Some(file) = words.get_mut(1).filter(|word| !word.as_bytes().starts_with(b"-")) {
            *file = folder.join(&*file).into_os_string();
        }
        Some(Self::of(&cli::from_args(words).ok()?, folder))
    }

    fn of(config: &Config, folder: &Path) -> Self {
        let port = |directive| u16::try_from(config.int(directive)).ok().filter(|port| *port != 0);
        let (plain, tls_port) = (port(Directive::Port), port(Directive::TlsPort));
        let is_empty = |directive| config.text(directive).is_empty();
        let password = config.bytes(Directive::Requirepass);
        let dir = PathBuf::from(OsString::from_vec(config.bytes(Directive::Dir).to_vec()));
        // Without one the folder is meant in which the server was started, not this program.
        let is_default = std::env::current_dir().is_ok_and(|here| here == dir) && folder != Path::new("");
        Self {
            port: plain.or(tls_port),
            tls: config.flag(Directive::TlsOnly) || plain.is_none() && tls_port.is_some(),
            password: (!password.is_empty()).then(|| password.to_vec()),
            dir: Some(if is_default { folder.to_owned() } else { folder.join(dir) }),
            has_own_certificate: !is_empty(Directive::TlsCertFile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_one_says_how_to_ask_it() {
        let folder = std::env::temp_dir().join(format!("kvarts-beside-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("k.conf"), "port 7001\nrequirepass \"se cret\"\ndir /\n").expect("a file");
        let of = |words: &[&str]| {
            let line: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            Beside::of_command_line(&line, &folder)
        };
        let found = of(&["/usr/local/bin/kvarts", "k.conf"]);
        std::fs::remove_dir_all(&folder).expect("it goes");
        let found = found.expect("a server");
        assert_eq!(
            (found.port, found.tls, found.password.as_deref()),
            (Some(7001), false, Some(&b"se cret"[..]))
        );
        assert_eq!(found.dir, Some(PathBuf::from("/")));
        let found = of(&["kvarts", "--port", "0", "--tls-port", "7002"]).expect("a server");
        assert_eq!((found.port, found.tls, found.password), (Some(7002), true, None));
        assert_eq!(found.dir, Some(folder.clone()));
        let found = of(&["kvarts", "--tls-only", "yes", "--requirepass", "x"]).expect("a server");
        assert_eq!((found.port, found.tls, found.password), (Some(6379), true, Some(b"x".to_vec())));
        for other in [
            &["kvarts", "-"][..],
            &["/sbin/init"],
            &["kvarts", "--health-check"],
            &["kvarts", "--nothing"],
            &[],
        ] {
            assert_eq!(of(other), None, "{other:?}");
        }
    }
}
