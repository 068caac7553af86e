//! The values of a running server. A number is read with one relaxed atomic load, so a request may ask for it
//! each time.

use std::fmt;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::events::KeyspaceEvents;
use super::parse::{ConfigError, Statement, read_file, split_arguments};
use super::table::{Directive, Kind, OBSOLETE, Spec, TABLE, UNSET, closest, find};
use super::value::{
    BufferLimit, ClientClass, SavePoint, Value, parse, save_points_of, show, system_words, word_of,
};
use crate::glob;
use crate::profile::{BUILT_IN, FILE_BYTES_MAX, Mode, Profile};

/// Port of the read-only listener beside the usual port.
const READ_ONLY_PORT: u16 = 6380;
/// `port` beside which a read-only port is opened unasked.
const USUAL_PORT: i64 = 6379;

/// The configuration of one server, shared by everything in it.
pub struct Config {
    /// Numbers by the directive's place; unused for texts.
    numbers: Box<[AtomicI64]>,
    /// Texts by the directive's place; empty for numbers.
    texts: Box<[RwLock<Text>]>,
    limits: [Limit; 3],
    /// Held while values are changed or written to the file, so that each sees the other whole.
    changing: Mutex<()>,
    version: AtomicU64,
    file: Option<PathBuf>,
    profile: Option<(String, Profile)>,
    /// Of each directive, whether the file or the command line names it.
    given: Box<[bool]>,
    extras: Extras,
}

/// Statements of a file that are not directives of the table.
#[derive(Debug, Default)]
struct Extras {
    users: Vec<Vec<Vec<u8>>>,
    roles: Vec<Vec<Vec<u8>>>,
    renames: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Default)]
struct Text {
    bytes: Arc<[u8]>,
    text: Arc<str>,
}

#[derive(Default)]
struct Limit {
    hard_bytes: AtomicU64,
    soft_bytes: AtomicU64,
    soft_seconds: AtomicU64,
}

/// Origin of a change, which matters for protected directives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A client of this host: loopback or Unix socket.
    Local,
    /// Any other client.
    Remote,
    /// The program itself: nothing is protected, and what cannot change at run time still cannot.
    Program,
}

/// A directive that is about to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which directive changes.
    pub directive: Directive,
    /// The value it has.
    pub old: Value,
    /// The value it is to have.
    pub new: Value,
}

impl Change {
    /// The new number; 0 for a directive that is none.
    pub fn number(&self) -> i64 {
        match self.new {
            Value::Number(number) => number,
            _ => 0,
        }
    }

    /// The new value as `CONFIG GET` would show it.
    pub fn text(&self) -> Vec<u8> {
        show(self.directive.spec(), &self.new)
    }
}

/// Why `apply` of [`Config::set`] refuses a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The directive at fault.
    pub directive: Directive,
    /// What the client is told.
    pub reason: String,
}

/// Why `CONFIG SET` changed nothing. The texts are those for the client, without the leading `ERR `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no such directive.
    #[error("Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// The directive cannot have that value, or not now.
    #[error("CONFIG SET failed (possibly related to argument '{argument}') - {reason}")]
    Failed {
        /// The directive as the client wrote it, or its name.
        argument: String,
        /// What is wrong.
        reason: String,
    },
}

impl Config {
    /// The defaults. `dir` is the working directory of the process.
    pub fn new() -> Self {
        let config = Self {
            numbers: TABLE.iter().map(|_| AtomicI64::new(0)).collect(),
            texts: TABLE.iter().map(|_| RwLock::default()).collect(),
            limits: Default::default(),
            changing: Mutex::new(()),
            version: AtomicU64::new(0),
            file: None,
            profile: None,
            given: TABLE.iter().map(|_| false).collect(),
            extras: Extras::default(),
        };
        for spec in &TABLE {
            config.store(spec.directive, default_value(spec));
        }
        config
    }

    /// Defaults with these directives set, for programs and tests. A value is split into arguments as a line
    /// of a file is, where the directive takes several.
    ///
    /// # Errors
    /// When a directive is unknown or refuses its value.
    pub fn from_pairs<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Result<Self, ConfigError>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let statements = pairs
            .into_iter()
            .map(|(name, value)| Statement::option(name.as_ref(), vec![value.as_ref().to_vec()]));
        Self::from_statements(None, statements)
    }

    /// Defaults with what a file says. The file is the one [`rewrite`](Self::rewrite) writes.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is wrong.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let statements = read_file(path)?;
        Self::from_statements(Some(path), statements)
    }

    /// Defaults with these statements, later ones winning over earlier ones.
    ///
    /// # Errors
    /// When a statement is wrong.
    pub fn from_statements(
        file: Option<&Path>,
        statements: impl IntoIterator<Item = Statement>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::new();
        config.file = file.map(|path| path.canonicalize().unwrap_or_else(|_| path.to_owned()));
        let statements: Vec<Statement> = statements.into_iter().collect();
        config.take_profile(&statements)?;
        let mut save_seen = false;
        for statement in &statements {
            config.load(statement, &mut save_seen)?;
        }
        for spec in &TABLE {
            config.given[spec.directive.index()] =
                statements.iter().any(|statement| statement.name == spec.name);
        }
        Ok(config)
    }

    /// Takes over the settings of the profile that the statements name. What the statements say themselves comes
    /// behind and wins.
    fn take_profile(&mut self, statements: &[Statement]) -> Result<(), ConfigError> {
        let last = |name: &str| statements.iter().rev().find(|statement| statement.name == name);
        let Some(statement) = last(Directive::Profile.name()) else { return Ok(()) };
        let [name] = statement.args.as_slice() else { return Ok(()) };
        if name.is_empty() {
            return Ok(());
        }
        let (name, profile) = read_profile(name).map_err(|reason| statement.error(reason))?;
        let warns = last(Directive::ProfileMode.name())
            .is_some_and(|mode| mode.args.first().is_some_and(|word| word.eq_ignore_ascii_case(b"warn")));
        let mode = if warns { Mode::Warn } else { Mode::Enforce };
        for setting in &profile.settings {
            let set = Statement::option(&setting.directive, vec![setting.value.clone().into_bytes()]);
            if setting.mode.is_none_or(|only| only == mode) {
                let loaded = self.load(&set, &mut false);
                loaded.map_err(|error| statement.error(format!("profile '{name}': {error}")))?;
            }
        }
        self.profile = Some((name, profile));
        Ok(())
    }

    /// Whether the profile gives this directive a value, in some mode.
    pub fn is_set_by_profile(&self, name: &str) -> bool {
        let settings = self.profile.as_ref().map(|(_, profile)| profile.settings.iter());
        settings.is_some_and(|mut settings| settings.any(|setting| setting.directive == name))
    }

    /// Whether the file or the command line gives this directive a value.
    pub fn is_given(&self, directive: Directive) -> bool {
        self.given[directive.index()]
    }

    /// The profile, with its name or the path of its file; `None` without one.
    pub fn profile(&self) -> Option<&(String, Profile)> {
        self.profile.as_ref()
    }

    /// The number of a directive: of a boolean 0 or 1, of an enum the place of its word. 0 for one that is
    /// text.
    #[inline]
    pub fn int(&self, directive: Directive) -> i64 {
        self.numbers[directive.index()].load(Ordering::Relaxed)
    }

    /// The number of bytes of a directive that may exceed an `i64`, such as `maxmemory`.
    #[inline]
    pub fn unsigned(&self, directive: Directive) -> u64 {
        self.int(directive).cast_unsigned()
    }

    /// Whether a boolean directive is `yes`.
    #[inline]
    pub fn flag(&self, directive: Directive) -> bool {
        self.int(directive) != 0
    }

    /// The text of a directive, with bytes that are not UTF-8 replaced. For one that is no text, what
    /// `CONFIG GET` shows.
    pub fn text(&self, directive: Directive) -> Arc<str> {
        match directive.spec().kind.is_text() {
            true => Arc::clone(&self.texts[directive.index()].read().text),
            false => Arc::from(String::from_utf8_lossy(&self.show(directive)).as_ref()),
        }
    }

    /// The text of a directive as it was given. Empty for one that is no text.
    pub fn bytes(&self, directive: Directive) -> Arc<[u8]> {
        Arc::clone(&self.texts[directive.index()].read().bytes)
    }

    /// The words of a directive that is a list, such as `bind`.
    pub fn words(&self, directive: Directive) -> Vec<String> {
        self.text(directive).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    /// The text of a directive as a path, `None` when it is empty. A relative path is one inside `dir`.
    pub fn path(&self, directive: Directive) -> Option<PathBuf> {
        let bytes = self.bytes(directive);
        if bytes.is_empty() {
            return None;
        }
        let dir = self.bytes(Directive::Dir);
        Some(Path::new(std::ffi::OsStr::from_bytes(&dir)).join(std::ffi::OsStr::from_bytes(&bytes)))
    }

    /// The word of an enum directive; empty for any other.
    pub fn word(&self, directive: Directive) -> &'static str {
        word_of(directive.spec(), self.int(directive)).unwrap_or_default()
    }

    /// When a client of this class that does not read is disconnected.
    pub fn output_buffer_limit(&self, class: ClientClass) -> BufferLimit {
        self.limits[class as usize].load()
    }

    /// The lines of `save`.
    pub fn save_points(&self) -> Vec<SavePoint> {
        save_points_of(&self.bytes(Directive::Save))
    }

    /// The changes that are published.
    #[inline]
    pub fn keyspace_events(&self) -> KeyspaceEvents {
        KeyspaceEvents::from_bits(self.int(Directive::NotifyKeyspaceEvents))
    }

    /// The port that serves reads only, 0 for none. Unset, it is 6380 while `port` is 6379.
    pub fn read_only_port(&self) -> u16 {
        self.read_only_port_after(&[])
    }

    /// The [`read_only_port`](Self::read_only_port) that there is when these changes are made.
    pub fn read_only_port_after(&self, changes: &[Change]) -> u16 {
        match self.int_after(changes, Directive::ReadOnlyPort) {
            UNSET if self.int_after(changes, Directive::Port) == USUAL_PORT => READ_ONLY_PORT,
            UNSET => 0,
            port => u16::try_from(port).unwrap_or_default(),
        }
    }

    /// The number that a directive has when these changes are made.
    pub fn int_after(&self, changes: &[Change], directive: Directive) -> i64 {
        let change = changes.iter().find(|change| change.directive == directive);
        change.map_or_else(|| self.int(directive), Change::number)
    }

    /// Counts changes, for callers that keep something made from the values.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The file the server was started with, as an absolute path.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The `user` lines of the file: name and rules of each.
    pub fn users(&self) -> &[Vec<Vec<u8>>] {
        &self.extras.users
    }

    /// The `role` lines of the file: name and rules of each.
    pub fn roles(&self) -> &[Vec<Vec<u8>>] {
        &self.extras.roles
    }

    /// The `rename-command` lines of the file: old name and new, which is empty for a command that is taken
    /// away.
    pub fn renames(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.extras.renames
    }

    /// The value of a directive as `CONFIG GET` shows it.
    pub fn show(&self, directive: Directive) -> Vec<u8> {
        match directive {
            Directive::ReadOnlyPort => self.read_only_port().to_string().into_bytes(),
            _ => show(directive.spec(), &self.value(directive)),
        }
    }

    /// Names and values for `CONFIG GET`, in the order of names. A pattern without `*`, `?` and `[` is a name
    /// and comes back as it was written; others match names and aliases in any case, and no hidden directive.
    pub fn get<P: AsRef<[u8]>>(&self, patterns: &[P]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut add = |name: &[u8], spec: &Spec| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_vec(), self.show(spec.directive)));
            }
        };
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
                if let Some((spec, _)) = find(pattern) {
                    add(pattern, spec);
                }
                continue;
            }
            for spec in TABLE.iter().filter(|spec| !spec.hidden) {
                for name in std::iter::once(spec.name).chain(spec.alias) {
                    if glob::matches(pattern, name.as_bytes(), true) {
                        add(name.as_bytes(), spec);
                    }
                }
            }
        }
        found.sort_unstable();
        found
    }

    /// Changes several directives, all or none. `apply` is called once with those whose value really changes, and
    /// those whose files are to be read again, before any is stored; it does what follows from them and may refuse.
    ///
    /// # Errors
    /// With the text for the client when a directive is unknown, named twice, not to be changed or given a
    /// value it cannot have, or when `apply` refuses.
    pub fn set<N, V>(
        &self,
        pairs: &[(N, V)],
        access: Access,
        apply: impl FnOnce(&[Change]) -> Result<(), Refusal>,
    ) -> Result<(), SetError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let _changing = self.changing.lock();
        let mut named: Vec<(&Spec, &'static str)> = Vec::with_capacity(pairs.len());
        for (name, _) in pairs {
            let found = self.changeable(name.as_ref(), access, &named)?;
            named.push(found);
        }
        let mut changes: Vec<Change> = Vec::with_capacity(pairs.len());
        for ((spec, name), (_, text)) in named.iter().zip(pairs) {
            let directive = spec.directive;
            let staged = changes.iter().position(|change| change.directive == directive);
            let current = match staged.and_then(|place| changes.get(place)) {
                Some(change) => change.new.clone(),
                None => self.value(directive),
            };
            let args = arguments(spec, text.as_ref());
            let new = parse(spec, &args, &current, false)
                .map_err(|reason| SetError::failed(name.as_bytes(), reason))?;
            match staged.and_then(|place| changes.get_mut(place)) {
                Some(change) => change.new = new,
                None => changes.push(Change { directive, old: current, new }),
            }
        }
        changes.retain(|change| change.old != change.new || change.directive.spec().rereads);
        if changes.is_empty() {
            return Ok(());
        }
        apply(&changes).map_err(|refusal| {
            let name = named.iter().find(|(spec, _)| spec.directive == refusal.directive);
            let name = name.map_or(refusal.directive.name(), |(_, name)| name);
            SetError::failed(name.as_bytes(), refusal.reason)
        })?;
        for change in changes {
            self.store(change.directive, change.new);
        }
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Notes which primary is followed, as REPLICAOF says it: `replicaof` cannot be set otherwise while the
    /// server runs.
    pub fn note_primary(&self, primary: Option<(&str, u16)>) {
        let _changing = self.changing.lock();
        let text = primary.map_or_else(String::new, |(host, port)| format!("{host} {port}"));
        self.store(Directive::Replicaof, Value::Text(text.into_bytes().into()));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Keeps the values as they are until the guard is dropped.
    pub(super) fn hold(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.changing.lock()
    }

    pub(super) fn value(&self, directive: Directive) -> Value {
        match directive.spec().kind {
            Kind::OutputBufferLimits => {
                let [normal, replica, pubsub] = &self.limits;
                Value::Limits([normal.load(), replica.load(), pubsub.load()])
            }
            kind if kind.is_text() => Value::Text(self.bytes(directive)),
            _ => Value::Number(self.int(directive)),
        }
    }

    fn store(&self, directive: Directive, value: Value) {
        match value {
            Value::Number(number) => self.numbers[directive.index()].store(number, Ordering::Relaxed),
            Value::Text(bytes) => {
                let text = Arc::from(String::from_utf8_lossy(&bytes).as_ref());
                *self.texts[directive.index()].write() = Text { bytes, text };
            }
            Value::Limits(limits) => {
                for (kept, limit) in self.limits.iter().zip(limits) {
                    kept.store(limit);
                }
            }
        }
    }

    /// Finds a directive that may be changed at run time and is not among those already named.
    fn changeable(
        &self,
        name: &[u8],
        access: Access,
        named: &[(&Spec, &'static str)],
    ) -> Result<(&'static Spec, &'static str), SetError> {
        let Some((spec, canonical)) = find(name) else {
            return Err(SetError::Unknown(String::from_utf8_lossy(name).into_owned()));
        };
        if !spec.mutable {
            return Err(SetError::failed(name, "can't set immutable config"));
        }
        if spec.protected && !self.may_change_protected(access) {
            return Err(SetError::failed(name, "can't set protected config"));
        }
        // A name and its alias do not count as the same, as in Valkey.
        if named.iter().any(|(_, known)| *known == canonical) {
            return Err(SetError::failed(name, "duplicate parameter"));
        }
        Ok((spec, canonical))
    }

    /// Whether a change of these is to be refused while data are being loaded: one of them waits for the data, and none
    /// before it is refused anyway.
    pub fn waits_for_data<N: AsRef<[u8]>, V>(&self, pairs: &[(N, V)], access: Access) -> bool {
        let named = pairs.iter().map_while(|(name, _)| self.changeable(name.as_ref(), access, &[]).ok());
        named.into_iter().any(|(spec, _)| spec.waits_for_data)
    }

    fn may_change_protected(&self, access: Access) -> bool {
        let allowed = self.word(Directive::EnableProtectedConfigs);
        access == Access::Program || allowed == "yes" || (access == Access::Local && allowed == "local")
    }

    fn load(&mut self, statement: &Statement, save_seen: &mut bool) -> Result<(), ConfigError> {
        let Some((spec, _)) = find(statement.name.as_bytes()) else {
            return self.load_extra(statement);
        };
        let split;
        let mut args: Vec<&[u8]> = statement.args.iter().map(Vec::as_slice).collect();
        if let ([text], true) = (args.as_slice(), spec.multi)
            && !text.is_empty()
        {
            split = split_arguments(text).ok_or_else(|| statement.error("unbalanced quotes"))?;
            args = split.iter().map(Vec::as_slice).collect();
        }
        let add = spec.directive == Directive::Save && std::mem::replace(save_seen, true);
        let value =
            parse(spec, &args, &self.value(spec.directive), add).map_err(|reason| statement.error(reason))?;
        self.store(spec.directive, value);
        Ok(())
    }

    fn load_extra(&mut self, statement: &Statement) -> Result<(), ConfigError> {
        match (statement.name.as_str(), statement.args.as_slice()) {
            ("user", [_, ..]) => self.extras.users.push(statement.args.clone()),
            ("role", [_, ..]) => self.extras.roles.push(statement.args.clone()),
            ("rename-command", [old, new]) => self.extras.renames.push((old.clone(), new.clone())),
            ("user" | "role" | "rename-command", _) => {
                return Err(statement.error("wrong number of arguments"));
            }
            ("loadmodule", _) => return Err(statement.error("modules are not supported")),
            (name, _) if OBSOLETE.contains(&name) => {}
            (name, _) => {
                return Err(statement.error(match closest(name) {
                    Some(known) => format!("unknown directive; did you mean '{known}'?"),
                    None => "unknown directive".to_owned(),
                }));
            }
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Config {
    /// The values that are not the defaults, without secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Config");
        for spec in &TABLE {
            let value = self.value(spec.directive);
            if value != default_value(spec) {
                let text = if spec.secret { b"(secret)".to_vec() } else { show(spec, &value) };
                shown.field(spec.name, &String::from_utf8_lossy(&text));
            }
        }
        shown.finish()
    }
}

impl SetError {
    fn failed(argument: &[u8], reason: impl Into<String>) -> Self {
        Self::Failed { argument: String::from_utf8_lossy(argument).into_owned(), reason: reason.into() }
    }
}

impl Limit {
    fn load(&self) -> BufferLimit {
        BufferLimit {
            hard_bytes: self.hard_bytes.load(Ordering::Relaxed),
            soft_bytes: self.soft_bytes.load(Ordering::Relaxed),
            soft_seconds: self.soft_seconds.load(Ordering::Relaxed),
        }
    }

    fn store(&self, limit: BufferLimit) {
        self.hard_bytes.store(limit.hard_bytes, Ordering::Relaxed);
        self.soft_bytes.store(limit.soft_bytes, Ordering::Relaxed);
        self.soft_seconds.store(limit.soft_seconds, Ordering::Relaxed);
    }
}

impl Kind {
    /// Whether the value is kept as text.
    pub(super) const fn is_text(self) -> bool {
        matches!(
            self,
            Kind::Text(_)
                | Kind::Words
                | Kind::SavePoints
                | Kind::OomScores
                | Kind::Percentiles
                | Kind::ReplicaOf
                | Kind::Directory
        )
    }
}

/// Reads the profile of this name, or in the file at this path.
fn read_profile(name: &[u8]) -> Result<(String, Profile), String> {
    let shown = String::from_utf8_lossy(name).into_owned();
    if let Some(profile) = Profile::built_in(&shown) {
        return Ok((shown, profile.map_err(|error| error.to_string())?));
    }
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    let file = std::fs::File::open(Path::new(std::ffi::OsStr::from_bytes(name))).map_err(|error| {
        format!(
            "'{shown}' is neither a profile ({names}) nor a file that can be read: {}",
            system_words(&error)
        )
    })?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("'{shown}': {}", system_words(&error)))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("'{shown}' has more than {FILE_BYTES_MAX} bytes"));
    }
    let profile = Profile::parse(&shown, &text).map_err(|error| error.to_string())?;
    Ok((shown, profile))
}

/// All directives that CONFIG GET shows without being asked by name, with their defaults as it would show them.
pub fn defaults() -> impl Iterator<Item = (&'static Spec, Vec<u8>)> {
    TABLE.iter().filter(|spec| !spec.hidden).map(|spec| (spec, show(spec, &default_value(spec))))
}

/// The value a directive has when nothing is said.
pub(super) fn default_value(spec: &Spec) -> Value {
    if spec.directive == Directive::Dir {
        let dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        return Value::Text(dir.as_os_str().as_bytes().into());
    }
    let empty = if spec.kind.is_text() { Value::Text(Arc::default()) } else { Value::Number(0) };
    // A test has every default pass.
    parse(spec, &arguments(spec, spec.default.as_bytes()), &empty, false).unwrap_or(empty)
}

/// The arguments in one text, which `CONFIG SET` splits at every single space and nothing else.
fn arguments<'a>(spec: &Spec, text: &'a [u8]) -> Vec<&'a [u8]> {
    if !spec.multi {
        vec![text]
    } else if text.is_empty() && spec.directive != Directive::Save {
        Vec::new()
    } else {
        text.split(|&byte| byte == b' ').collect()
    }
}

/// What the client is told when the file cannot be written.
pub(super) fn told(error: &std::io::Error) -> String {
    system_words(error)
}
