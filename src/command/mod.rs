//! What a command is: its entry, its key spec, the table of all entries, and the context in which its function runs.

pub mod args;
pub mod keys;
pub mod request;
pub mod spec;
pub mod syntax;
pub mod table;

pub use keys::{Begin, Find, KeySpec};
pub use spec::{Category, Command, Flags, Group, Handler};
