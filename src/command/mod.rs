//! What is known of commands without running them: specs, key specs and lock plans, the table of all by name,
//! and the reading of their arguments.

pub(crate) mod args;
pub(crate) mod keys;
pub(crate) mod request;
pub(crate) mod spec;
pub mod syntax;
pub(crate) mod table;

pub use keys::{Begin, Find, KeySpec};
pub use spec::{Category, Family, Flags, Group, Spec, Subject};
