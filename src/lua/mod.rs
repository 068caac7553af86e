//! Scripts and functions in Lua 5.1: machines, the scripts and libraries that are known, and what is read out
//! of their sources. The room `scripting` above runs them within commands.
//!
//! Each worker has a Lua machine of its own, so scripts on different slots run at the same time. A script
//! that takes its keys from KEYS holds their locks; any other runs alone in the keyspace ([`analysis`] tells
//! which is which).

pub(crate) mod analysis;
pub(crate) mod control;
pub(crate) mod convert;
pub mod direct;
pub(crate) mod functions;
pub(crate) mod host;
pub(crate) mod lexer;
pub(crate) mod library;
pub(crate) mod library_reach;
pub(crate) mod scripts;
pub(crate) mod shape;
pub(crate) mod shebang;
pub(crate) mod vm;
pub(crate) mod watch;
pub(crate) mod words;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use crate::command::table::CommandTable;
use crate::error::CommandError;
use crate::worker::{self, GiveWay};
use control::SlowScripts;
use functions::Libraries;
use scripts::Scripts;
use vm::{Memory, Vm};

use crate::config::{Config, Directive};

/// The scripts and libraries of a server, its Lua machines, and the scripts that run slowly.
pub struct Scripting {
    /// Scripts by their SHA1.
    pub scripts: Scripts,
    /// Libraries of functions.
    pub libraries: Libraries,
    /// Scripts that have been running for more than 2 ms.
    pub slow: Arc<SlowScripts>,
    /// Whether scripts may call commands with the flag `NOSCRIPT` (DEBUG SET-DISABLE-DENY-SCRIPTS, for
    /// tests).
    pub allows_all: AtomicBool,
    /// How many scripts ran alone in the keyspace, because their sources do not tell what they touch.
    pub ran_alone: AtomicU64,
    machines: Arc<Machines>,
    give_way: RwLock<Arc<GiveWay>>,
}

/// Memory of all machines of a server, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryHeld {
    /// Of machines that have run scripts only.
    pub scripts_bytes: usize,
    /// Of machines that have loaded libraries; scripts that they ran are counted here too.
    pub with_functions_bytes: usize,
}

impl MemoryHeld {
    /// Both together.
    pub fn total(self) -> usize {
        self.scripts_bytes + self.with_functions_bytes
    }
}

/// What a server knows of its machines, which are kept by the threads that made them.
#[derive(Debug, Default)]
struct Machines {
    /// The memory of each machine. An entry without another reference is of a machine that was dropped.
    memory: Mutex<Vec<Arc<Memory>>>,
    /// The number of the last SCRIPT FLUSH. A machine of an earlier one is dropped when its thread has
    /// nothing to do.
    generation: AtomicU64,
}

/// A machine as its thread keeps it. It never leaves that thread, so no lock is needed.
struct Machine {
    /// The machines of the server that it belongs to.
    of: Weak<Machines>,
    vm: RefCell<Vm>,
}

thread_local! {
    static MACHINES: RefCell<Vec<Rc<Machine>>> = const { RefCell::new(Vec::new()) };
}

impl Scripting {
    /// No scripts, no libraries. Machines are made when they are first used.
    pub fn new() -> Self {
        Self {
            scripts: Scripts::default(),
            libraries: Libraries::default(),
            slow: Arc::default(),
            allows_all: AtomicBool::new(false),
            ran_alone: AtomicU64::new(0),
            machines: Arc::default(),
            give_way: RwLock::new(Arc::new(|_| true)),
        }
    }

    /// Sets the function by which a thread hands its other tasks to another thread while a script keeps it
    /// busy.
    pub fn set_give_way(&self, give_way: Arc<GiveWay>) {
        *self.give_way.write() = give_way;
    }

    /// The function by which a thread hands its other tasks to another thread.
    pub fn give_way(&self) -> Arc<GiveWay> {
        Arc::clone(&self.give_way.read())
    }

    /// Runs `work` with this thread's machine, which may hold `limit` bytes, and cleans the machine up
    /// afterwards.
    ///
    /// # Errors
    /// When there is no memory for a machine.
    pub fn with_machine<T>(&self, limit: usize, work: impl FnOnce(&mut Vm) -> T) -> mlua::Result<T> {
        let machine = match self.machine_of_thread() {
            Some(machine) => machine,
            None => self.new_machine()?,
        };
        let Ok(mut vm) = machine.vm.try_borrow_mut() else {
            return Ok(work(&mut Vm::new()?)); // No script runs another, but nothing depends on it here.
        };
        vm.set_limit(limit)?;
        vm.see_flush(self.scripts.generation());
        let runs_tasks = worker::current() != worker::NONE;
        let done = work(&mut vm);
        if vm.holds_much() && !vm.make_room()? {
            // No table of ours names what it still holds: the next script gets another machine.
            *vm = self.make_machine()?;
        }
        vm.tell_memory();
        if runs_tasks && worker::current() == worker::NONE {
            // It was slow, and the thread has handed its work to another: it would only keep the machine.
            drop(vm);
            MACHINES.with_borrow_mut(|machines| machines.retain(|other| !Rc::ptr_eq(other, &machine)));
        }
        Ok(done)
    }

    /// Adds libraries: all of them, or none. They are loaded by this thread's machine, which may hold `limit`
    /// bytes.
    ///
    /// # Errors
    /// As of [`Libraries::add`](functions::Libraries::add); no memory for a machine.
    pub fn add_libraries(
        &self,
        turn: &functions::Turn<'_>,
        limit: usize,
        table: &CommandTable,
        sources: &[&[u8]],
        policy: functions::Policy,
    ) -> Result<Vec<String>, CommandError> {
        let give_way = self.give_way();
        self.with_machine(limit, |vm| self.libraries.add(turn, vm, &give_way, table, sources, policy))
            .map_err(|error| CommandError::new(format!("ERR {error}")))?
    }

    /// Forgets all scripts. Each thread drops its machine when it next has nothing to do.
    pub fn flush(&self) {
        self.scripts.flush();
        self.machines.generation.store(self.scripts.generation(), Ordering::Release);
    }

    fn make_machine(&self) -> mlua::Result<Vm> {
        let vm = Vm::new()?;
        self.machines.memory.lock().push(Arc::clone(&vm.memory));
        Ok(vm)
    }

    fn machine_of_thread(&self) -> Option<Rc<Machine>> {
        MACHINES.with_borrow(|machines| {
            let own = |machine: &&Rc<Machine>| machine.of.as_ptr() == Arc::as_ptr(&self.machines);
            machines.iter().find(own).cloned()
        })
    }

    fn new_machine(&self) -> mlua::Result<Rc<Machine>> {
        let vm = self.make_machine()?;
        let machine = Rc::new(Machine { of: Arc::downgrade(&self.machines), vm: RefCell::new(vm) });
        MACHINES.with_borrow_mut(|machines| {
            // Servers that have ended leave theirs to the next one.
            machines.retain(|machine| machine.of.strong_count() > 0);
            machines.push(Rc::clone(&machine));
        });
        Ok(machine)
    }

    /// The memory of all machines, as of when each was last used.
    pub fn memory_held(&self) -> MemoryHeld {
        let are_libraries = !self.libraries.is_empty();
        let mut memory = self.machines.memory.lock();
        memory.retain(|machine| Arc::strong_count(machine) > 1);
        memory.iter().fold(MemoryHeld::default(), |mut held, machine| {
            let bytes = machine.bytes.load(Ordering::Relaxed);
            // What is left of libraries that are gone goes when the machine runs the next function.
            if are_libraries && machine.has_functions.load(Ordering::Relaxed) {
                held.with_functions_bytes += bytes;
            } else {
                held.scripts_bytes += bytes;
            }
            held
        })
    }

    /// Counts a script that ran alone.
    pub fn count_alone(&self) {
        self.ran_alone.fetch_add(1, Ordering::Relaxed);
    }
}

/// Drops this thread's machines but for one that runs a script. Called by a thread that hands its work to
/// another.
pub fn drop_idle_machines() {
    MACHINES.with_borrow_mut(|machines| machines.retain(|machine| machine.vm.try_borrow_mut().is_err()));
}

/// Drops this thread's machines that have not been used since the last SCRIPT FLUSH, and collects the garbage
/// of the others. Called by a thread that has nothing to do.
pub fn tidy_machines() {
    MACHINES.with_borrow_mut(|machines| {
        machines.retain(|machine| {
            let Some(of) = machine.of.upgrade() else { return false };
            // One whose script gives way to this thread's other work is in use.
            let Ok(vm) = machine.vm.try_borrow() else { return true };
            let is_present = vm.generation() >= of.generation.load(Ordering::Acquire);
            if is_present {
                vm.tidy();
            }
            is_present
        });
    });
}

/// Bytes that the scripts of one thread may hold: what is configured, else a quarter of `maxmemory`, else 256
/// MB.
pub fn memory_limit(config: &Config) -> usize {
    const DEFAULT: usize = 256 << 20;
    let configured = |directive| usize::try_from(config.int(directive)).unwrap_or(0);
    match (configured(Directive::LuaMemoryLimit), configured(Directive::Maxmemory)) {
        (0, 0) => DEFAULT,
        (0, all) => all / 4,
        (limit, _) => limit,
    }
    .max(vm::LEAST_LIMIT)
}

impl Default for Scripting {
    fn default() -> Self {
        Self::new()
    }
}
