//! Running a script or function within a command: EVAL, EVALSHA, FCALL.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mlua::{Function, Lua, MultiValue, Value};

use super::call::{self, Permits};
use super::direct::{self, Stop};
use crate::command::keys::LockPlan;
use crate::config::Directive;
use crate::engine::Server;
use crate::engine::context::{Context, Origin};
use crate::error::{CommandError, CommandResult};
use crate::keyspace::key_hash::key_slot;
use crate::lua::analysis::Reach;
use crate::lua::control::{ForcedEnd, Place, Start};
use crate::lua::convert;
use crate::lua::direct::Direct;
use crate::lua::functions::Library;
use crate::lua::host::{self, Host};
use crate::lua::scripts::{Script, Sha, hex};
use crate::lua::shebang::ScriptFlags;
use crate::lua::vm::{Failure, Vm};
use crate::lua::words::Words;
use crate::primitives::number::parse_i64;
use crate::primitives::printable::printable;
use crate::resp::Version;

/// What is to be run.
pub enum Program {
    /// A script of EVAL or EVALSHA.
    Script(Arc<Script>),
    /// A function by its name, and what it says of itself.
    Function {
        /// Its name.
        name: String,
        /// Its flags.
        flags: ScriptFlags,
        /// The library that it is of.
        library: Arc<Library>,
    },
}

impl Program {
    fn flags(&self) -> ScriptFlags {
        match self {
            Program::Script(script) => script.flags,
            Program::Function { flags, .. } => *flags,
        }
    }

    /// Set when it reached for a key that it did not declare.
    fn misjudged(&self) -> &AtomicBool {
        match self {
            Program::Script(script) => &script.misjudged,
            Program::Function { library, .. } => &library.misjudged,
        }
    }

    fn joins_texts(&self) -> bool {
        match self {
            Program::Script(script) => script.joins_texts,
            Program::Function { library, .. } => library.joins_texts,
        }
    }

    /// The script or function by its name.
    fn in_words(&self) -> String {
        match self {
            Program::Script(script) => format!("script {}", hex(&script.sha)),
            Program::Function { name, .. } => format!("function {}", printable(name.as_bytes())),
        }
    }

    fn sha(&self) -> Sha {
        match self {
            Program::Script(script) => script.sha,
            Program::Function { .. } => [0; 20],
        }
    }
}

/// The keys of a request: how many its argument 2 says, from argument 3 on.
///
/// # Errors
/// A count that is none, or more than there are arguments.
pub fn key_count(arguments: &[&[u8]]) -> Result<usize, CommandError> {
    let count = parse_i64(arguments[2]).ok_or(CommandError::NotAnInteger)?;
    let count =
        usize::try_from(count).map_err(|_| CommandError::text("ERR Number of keys can't be negative"))?;
    if count > arguments.len() - 3 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    Ok(count)
}

/// Whether a script has to be alone in the keyspace with these arguments.
pub fn runs_alone(server: &Server, reach: &Reach, misjudged: &AtomicBool, arguments: &[&[u8]]) -> bool {
    let Reach::Declared(named) = reach else { return true };
    if misjudged.load(Ordering::Relaxed) {
        return true;
    }
    let Ok(count) = key_count(arguments) else { return false };
    !named.iter().all(|named| {
        // Without that argument the call fails before it touches anything.
        let name = named.argument.checked_sub(1).and_then(|index| arguments.get(3 + count + index));
        name.is_none_or(|name| named.is_within(&server.commands, name))
    })
}

/// Runs a program with the keys and arguments of a request, and writes its reply.
///
/// # Errors
/// What went wrong in it.
pub fn run(cx: &mut Context<'_>, program: &Program, arguments: &[&[u8]], read_only: bool) -> CommandResult {
    let count = key_count(arguments).map_err(|error| match (error, program) {
        (CommandError::NotAnInteger, Program::Function { .. }) => {
            CommandError::text("ERR Bad number of keys provided")
        }
        (error, _) => error,
    })?;
    let server = cx.server;
    if cx.keys.is_alone() {
        server.scripting.count_alone();
    }
    let call = ProgramCall { program, arguments, key_count: count, read_only };
    if let Program::Script(script) = program
        && let Some(straight) = &script.straight
    {
        return call.run_straight(cx, straight);
    }
    let limit = crate::lua::memory_limit(&server.config);
    let done = server.scripting.with_machine(limit, |vm| call.run_in_machine(cx, vm));
    done.unwrap_or_else(|error| Err(CommandError::new(format!("ERR {error}"))))
}

/// A program, and what it is called with.
struct ProgramCall<'r> {
    program: &'r Program,
    arguments: &'r [&'r [u8]],
    key_count: usize,
    read_only: bool,
}

/// How a program ended.
struct Ended {
    outcome: Result<(), Failure>,
    /// Why, if by force, and where it was then.
    forced: Option<ForcedEnd>,
    forced_at: Option<Place>,
}

impl ProgramCall<'_> {
    fn run_straight(&self, cx: &mut Context<'_>, straight: &Direct) -> CommandResult {
        self.within(cx, |cx, permits| {
            let (keys, others) = self.arguments[3..].split_at(self.key_count);
            let outcome = direct::run(straight, cx, permits, keys, others).map_err(failure_of);
            let forced = permits.reached_too_far.then_some(ForcedEnd::Undeclared);
            Ended { outcome, forced, forced_at: None }
        })
    }

    fn run_in_machine(&self, cx: &mut Context<'_>, vm: &mut Vm) -> CommandResult {
        let server = cx.server;
        let function = match self.program {
            Program::Script(script) => {
                vm.set_insecure(server.config.flag(Directive::LuaEnableInsecureApi))
                    .map_err(|error| CommandError::new(format!("ERR {error}")))?;
                vm.compiled(script)
                    .inspect_err(|_| server.scripting.scripts.forget(script))
                    .map_err(compile_error)?
            }
            Program::Function { name, .. } => {
                let scripting = &server.scripting;
                crate::lua::functions::load_into(vm, &scripting.give_way(), &scripting.libraries)?;
                vm.function(name.as_bytes()).ok_or(CommandError::text("ERR Function not found"))?
            }
        };
        let vm = &*vm;
        self.within(cx, |cx, permits| {
            vm.control.begin(&server.scripting.slow, &server.scripting.give_way(), self.start_of(cx));
            let restarted = vm.restart(self.program.joins_texts());
            vm.set_version(Version::Resp2);
            let mut serving = Serving { program: self.program, cx, vm, permits, words: vm.words.take() };
            let ended = self.execute(&mut serving, &function);
            vm.words.set(serving.words);
            let forced = vm.control.end();
            let outcome = restarted.and(ended).unwrap_or_else(|error| {
                Err(Failure { text: format!("ERR {error}").into_bytes(), place: None })
            });
            Ended { outcome, forced, forced_at: vm.control.take_place() }
        })
    }

    /// Runs the program with its permits, and undoes or reports what came of it.
    fn within(
        &self,
        cx: &mut Context<'_>,
        work: impl FnOnce(&mut Context<'_>, &mut Permits) -> Ended,
    ) -> CommandResult {
        let flags = self.program.flags();
        if flags.no_cluster && cx.server.cluster.is_enabled() {
            return Err(CommandError::text("ERR Can not run script on cluster, 'no-cluster' flag is set."));
        }
        if cx.client.out_of_memory && flags.declared && !flags.allow_oom && !flags.no_writes {
            return Err(CommandError::OutOfMemory);
        }
        if flags.declared && !flags.no_writes && cx.server.lacks_replicas() {
            return Err(CommandError::NoReplicas);
        }
        if flags.declared
            && !flags.no_writes
            && let Some(refused) = cx.server.refusal_by_disk()
        {
            return Err(refused);
        }
        if flags.declared && !flags.no_writes && call::is_read_only(cx) {
            return Err(CommandError::ReadOnlyReplica);
        }
        if !flags.allow_stale && cx.server.following.refuses_reads() {
            return Err(CommandError::PrimaryDown);
        }
        let undoable = flags.atomic && !cx.keys.can_undo();
        let counts = self.key_count > 0 && (cx.server.cluster.is_enabled() || cx.server.profile.is_some());
        let first_key = self.arguments.get(3).copied().filter(|_| counts);
        let mut permits = Permits {
            read_only: self.read_only || flags.no_writes,
            allow_oom: flags.allow_oom,
            // Scripts without flags may reach anywhere, as before there were flags.
            cross_slot: flags.allow_cross_slot_keys || !flags.declared,
            slot: first_key.map(key_slot),
            wrote: false,
            ran_write: false,
            reached_too_far: false,
            counted: None,
            denied: false,
        };
        let (database, dirty, position) = (cx.client.database, cx.dirty, cx.reply.position());
        if undoable {
            cx.begin_undoable();
        }
        // Field sets of a script are its own, and end with it.
        let field_sets = cx.client.swap_field_sets(None);
        let Ended { outcome, forced, forced_at } = work(cx, &mut permits);
        cx.client.swap_field_sets(field_sets);
        cx.client.select(database);
        cx.keys.database = database;
        let failure = match (outcome, forced) {
            (Ok(()), None) => {
                if undoable {
                    cx.commit();
                }
                // A command's error that the script returns as it got it is counted once.
                let written = cx.reply.written_since(position).strip_prefix(b"-");
                let counted = permits.counted.as_ref().map(String::as_bytes);
                cx.error_counted = cx.origin == Origin::Client
                    && written.is_some_and(|text| text.strip_suffix(b"\r\n") == counted);
                return Ok(());
            }
            (Err(failure), None) => {
                let raised = permits.counted.as_ref().map(String::as_bytes);
                cx.error_counted = raised == Some(&*failure.text);
                error_of(&failure)
            }
            (outcome, Some(forced)) => {
                let text = forced_text(forced, self.program).into_bytes();
                let raised_at = outcome.err().and_then(|failure| failure.place);
                error_of(&Failure { text, place: forced_at.or(raised_at) })
            }
        };
        cx.reply.truncate(position);
        if undoable {
            cx.undo();
            cx.dirty = dirty;
        }
        if permits.reached_too_far {
            self.program.misjudged().store(true, Ordering::Relaxed);
            // If nothing was changed it can start again, alone.
            cx.again_alone = cx.dirty == dirty && cx.origin == Origin::Client;
        }
        Err(failure)
    }

    fn start_of(&self, cx: &Context<'_>) -> Start {
        let (function, command) = match self.program {
            Program::Script(_) => (None, Vec::new()),
            Program::Function { name, .. } => {
                (Some(name.clone()), self.arguments.iter().map(|word| word.to_vec()).collect())
            }
        };
        let locks = (!cx.keys.is_alone()).then(|| cx.keys.held().collect::<LockPlan>());
        let limit_ms = cx.server.config.int(Directive::BusyReplyThreshold);
        let limit_ns = if limit_ms > 0 { limit_ms as u64 * 1_000_000 } else { u64::MAX };
        Start {
            sha: self.program.sha(),
            function,
            command,
            runs_for: cx.client.shared.id,
            declares_none: self.key_count == 0,
            is_streamed: cx.client.is_primary,
            // What a file repeats runs to its end.
            undoable: self.program.flags().atomic && !cx.client.is_loader,
            locks,
            limit_ns,
        }
    }

    /// The program itself.
    fn execute(
        &self,
        serving: &mut Serving<'_, '_>,
        function: &Function,
    ) -> mlua::Result<Result<(), Failure>> {
        let vm = serving.vm;
        let (keys, others) = self.arguments[3..].split_at(self.key_count);
        let (keys, others) = (vm.strings(keys)?, vm.strings(others)?);
        let ended = host::lend(serving, || match self.program {
            Program::Script(_) => vm.run_script(function, keys, others),
            Program::Function { .. } => vm.run_function(function, keys, others),
        });
        match ended? {
            Err(failure) => Ok(Err(failure)),
            Ok(value) => match convert::to_reply(&value, vm, &mut serving.cx.reply) {
                Err(mlua::Error::MemoryError(_)) => Ok(Err(failure_of(Stop::Memory))),
                written => written.map(Ok),
            },
        }
    }
}

/// What serves the commands of a program in a machine.
struct Serving<'r, 'c> {
    program: &'r Program,
    cx: &'r mut Context<'c>,
    vm: &'r Vm,
    permits: &'r mut Permits,
    /// Memory for the words of its commands.
    words: Words,
}

impl Host for Serving<'_, '_> {
    fn call(&mut self, _: &Lua, words: &MultiValue) -> mlua::Result<Result<Value, CommandError>> {
        call::call(self.cx, self.permits, self.vm, &mut self.words, words)
    }

    fn is_slow(&mut self) {
        let program = self.program;
        self.cx.keys.tell_slow(Some(&|| program.in_words()));
    }

    fn may_call(&mut self, words: &MultiValue) -> Result<bool, CommandError> {
        call::may_call(self.cx, words)
    }
}

fn compile_error(message: String) -> CommandError {
    CommandError::new(format!("ERR Error compiling script (new function): {message}"))
}

/// What ended a script that ran without a machine, as the machine would have told it.
fn failure_of(stop: Stop) -> Failure {
    let place = |line: u32| Some((b"@user_script".to_vec(), i64::from(line)));
    match stop {
        Stop::Command(error, line) => Failure { text: error.to_string().into_bytes(), place: place(line) },
        Stop::Raised(text, line) => {
            Failure { text: format!("ERR user_script:{line}: {text}").into_bytes(), place: place(line) }
        }
        Stop::Memory => Failure { text: b"ERR not enough memory".to_vec(), place: None },
    }
}

/// The error's text, and where in the script it came up.
fn error_of(failure: &Failure) -> CommandError {
    let text = String::from_utf8_lossy(&failure.text);
    match &failure.place {
        Some((source, line)) => {
            let source = String::from_utf8_lossy(source);
            CommandError::new(format!("{text} script: on {source}:{line}."))
        }
        None => CommandError::new(text.into_owned()),
    }
}

fn forced_text(forced: ForcedEnd, program: &Program) -> String {
    let (what, command) = match program {
        Program::Script(_) => ("script", "SCRIPT"),
        Program::Function { .. } => ("function", "FUNCTION"),
    };
    match forced {
        ForcedEnd::Killed => format!("ERR Script killed by user with {command} KILL."),
        ForcedEnd::TimeLimit => {
            format!("ERR The {what} took longer than busy-reply-threshold: what it changed was put back.")
        }
        ForcedEnd::Undeclared => format!("ERR The {what} reached for a key that it did not declare."),
        ForcedEnd::LoadTimeLimit => "ERR FUNCTION LOAD timeout".to_owned(),
    }
}
