//! The libraries that scripts find beside Lua's own.
//!
//! Each module's `table` makes a fresh table of functions with settings of its own. What a function refuses it raises as [`Raised`], which
//! [`guarded`] turns into the plain string that a script expects from `pcall`.

pub mod bit;
mod call;
pub mod cjson;
pub mod cmsgpack;
mod number;
pub mod r#struct;

pub use call::{Raised, guarded, raised};

#[cfg(test)]
mod tests;
