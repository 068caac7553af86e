//! CLIENT.

use crate::command::Context;
use crate::command::args;
use crate::error::{CommandError, CommandResult};

/// Gives the client a name: printable ASCII without spaces, or nothing.
///
/// # Errors
/// Other characters.
pub fn set_name(cx: &mut Context<'_>, name: &[u8]) -> CommandResult {
    check_name(name, "Client names")?;
    cx.client.shared.names.lock().name = args::text(name);
    Ok(())
}

fn check_name(name: &[u8], what: &str) -> CommandResult {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        return Ok(());
    }
    Err(CommandError::new(format!("ERR {what} cannot contain spaces, newlines or special characters.")))
}
