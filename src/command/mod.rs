//! What is known of commands without running them: specs, key specs and lock plans, the table of all by name,
//! and the reading of their arguments.

pub mod args;
pub mod keys;
pub mod request;
pub mod spec;
pub mod syntax;
pub mod table;

pub use keys::{Begin, Find, KeySpec};
pub use spec::{Category, Flags, Group, Spec};
