//! Scripts and functions in Lua 5.1.
//!
//! Each worker has a Lua machine of its own, so scripts on different slots run at the same time. A script that takes its keys from
//! KEYS holds their locks; any other runs alone in the keyspace ([`analysis`] tells which is which).

pub mod analysis;
pub mod call;
pub mod control;
pub mod convert;
pub mod functions;
pub mod host;
pub mod lexer;
pub mod library;
pub mod run;
pub mod scripts;
pub mod shebang;
pub mod vm;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard, RwLock};

use control::{GiveWay, SlowScripts};
use functions::Libraries;
use scripts::Scripts;
use vm::Vm;

/// What a server knows of scripts.
pub struct Scripting {
    /// Scripts by their SHA1.
    pub scripts: Scripts,
    /// Libraries of functions.
    pub libraries: Libraries,
    /// Scripts that have been running for a while.
    pub slow: Arc<SlowScripts>,
    /// Scripts may call what scripts may not call otherwise (DEBUG SET-DISABLE-DENY-SCRIPTS), for tests.
    pub allows_all: AtomicBool,
    /// Scripts that ran alone because nothing says what they touch.
    pub ran_alone: AtomicU64,
    machines: Box<[CachePadded<Mutex<Option<Machine>>>]>,
    give_way: RwLock<Arc<GiveWay>>,
}

/// A machine and the flush of scripts that it has seen.
pub struct Machine {
    /// The machine.
    pub vm: Vm,
    generation: u64,
}

impl Scripting {
    /// For this many workers; machines are made when they are first used.
    pub fn new(workers: usize) -> Self {
        Self {
            scripts: Scripts::default(),
            libraries: Libraries::default(),
            slow: Arc::default(),
            allows_all: AtomicBool::new(false),
            ran_alone: AtomicU64::new(0),
            machines: (0..workers.max(1)).map(|_| CachePadded::new(Mutex::new(None))).collect(),
            give_way: RwLock::new(Arc::new(|| {})),
        }
    }

    /// Sets how a thread has its other work done elsewhere while a script keeps it.
    pub fn set_give_way(&self, give_way: Arc<GiveWay>) {
        *self.give_way.write() = give_way;
    }

    /// How a thread has its other work done elsewhere.
    pub fn give_way(&self) -> Arc<GiveWay> {
        Arc::clone(&self.give_way.read())
    }

    /// Does something with a machine that nobody else uses: the worker's own, or another's while a slow script keeps that, or a new
    /// one.
    ///
    /// # Errors
    /// When there is no memory for a machine.
    pub fn with_machine<T>(&self, worker: usize, work: impl FnOnce(&mut Vm) -> T) -> mlua::Result<T> {
        let count = self.machines.len();
        let free = (0..count).find_map(|offset| self.machines[(worker + offset) % count].try_lock());
        match free {
            Some(mut slot) => Ok(work(self.ready(&mut slot)?)),
            None => Ok(work(&mut Vm::new()?)),
        }
    }

    fn ready<'m>(&self, slot: &'m mut MutexGuard<'_, Option<Machine>>) -> mlua::Result<&'m mut Vm> {
        let generation = self.scripts.generation();
        if slot.is_none() {
            **slot = Some(Machine { vm: Vm::new()?, generation });
        }
        match slot.as_mut() {
            Some(machine) => {
                if machine.generation != generation {
                    machine.vm.forget_scripts();
                    machine.generation = generation;
                }
                Ok(&mut machine.vm)
            }
            None => Err(mlua::Error::external("no machine")),
        }
    }

    /// Bytes that the machines hold.
    pub fn memory_bytes(&self) -> usize {
        let of_one = |machine: &CachePadded<Mutex<Option<Machine>>>| {
            machine
                .try_lock()
                .and_then(|machine| machine.as_ref().map(|machine| machine.vm.lua.used_memory()))
        };
        self.machines.iter().filter_map(of_one).sum()
    }

    /// Counts a script that ran alone.
    pub fn count_alone(&self) {
        self.ran_alone.fetch_add(1, Ordering::Relaxed);
    }
}
