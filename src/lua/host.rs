//! The host of a script: runs the commands that the script calls.
//!
//! A machine's functions live as long as the machine, a host only as long as one script. So the host is lent
//! to the thread while the script runs. Making the machine's functions anew for each script costs more than a
//! command.

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

    /// The script has run for a while: those that wait for its locks are to find it.
    fn is_slow(&mut self);

    /// `redis.acl_check_cmd` with these words.
    ///
    /// # Errors
    /// What is no command.
    fn may_call(&mut self, words: &MultiValue) -> Result<bool, CommandError>;
}

scoped_thread_local!(static mut HOST: for<'h> &'h mut (dyn Host + 'h));

/// Runs `work` while `host` is the host of the scripts of this thread.
pub fn lend<R>(host: &mut dyn Host, work: impl FnOnce() -> R) -> R {
    HOST.set(host, work)
}

/// Runs `work` with the host of this thread's script.
///
/// # Errors
/// When there is nothing that serves it, or it is serving already.
pub fn with<R>(work: impl FnOnce(&mut dyn Host) -> mlua::Result<R>) -> mlua::Result<R> {
    if !HOST.is_set() {
        return Err(mlua::Error::RecursiveMutCallback);
    }
    HOST.with(work)
}
