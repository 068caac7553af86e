//! The configuration: one [table](table::TABLE) of directives, which the file, the command line,
//! `CONFIG GET`, `CONFIG SET`, `CONFIG REWRITE` and the documentation read.
//!
//! [`Config`] holds the values of one server and is shared by reference; there is no state of the process.
//! Numbers, booleans and enums are read with one relaxed load, so nothing needs to keep a copy.

mod check;
pub mod cli;
mod docs;
mod events;
mod parse;
mod rewrite;
mod store;
pub mod table;
mod value;

pub use cli::{CliError, from_args};
pub use docs::markdown;
pub use events::KeyspaceEvents;
pub use parse::{ConfigError, Source, Statement, quote, read_file, read_stream, split_arguments};
pub use rewrite::RewriteError;
pub use store::{Access, Change, Config, Refusal, SetError, defaults};
pub use table::{Directive, Effect};
pub use value::{BufferLimit, ClientClass, SavePoint, Value, memory as parse_memory, system_words};

#[cfg(test)]
pub(crate) mod tests;
