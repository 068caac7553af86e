//! What serves the commands of the script that this thread runs.
//!
//! A machine's functions live as long as the machine, what serves them only as long as a script: it is lent to the thread meanwhile.
//! Making functions for each script instead costs more than running a command.

use mlua::{Lua, MultiValue, Value};
use scoped_tls_hkt::scoped_thread_local;

use crate::error::CommandError;

/// Serves the commands of one script.
pub trait Host {
    /// `redis.call` with these words: the reply, or the command's error.
    ///
    /// # Errors
    /// When the machine's memory is full.
    fn call(&mut self, lua: &Lua, words: &MultiValue) -> mlua::Result<Result<Value, CommandError>>;

    /// `redis.acl_check_cmd` with these words.
    ///
    /// # Errors
    /// What is no command.
    fn may_call(&mut self, words: &MultiValue) -> Result<bool, CommandError>;
}

scoped_thread_local!(static mut HOST: for<'h> &'h mut (dyn Host + 'h));

/// Does something while `host` serves the commands of scripts that this thread runs.
pub fn lend<R>(host: &mut dyn Host, work: impl FnOnce() -> R) -> R {
    HOST.set(host, work)
}

/// Does something with what serves the script.
///
/// # Errors
/// When there is nothing that serves it, or it is serving already.
pub fn with<R>(work: impl FnOnce(&mut dyn Host) -> mlua::Result<R>) -> mlua::Result<R> {
    if !HOST.is_set() {
        return Err(mlua::Error::RecursiveMutCallback);
    }
    HOST.with(work)
}
