//! Scripts and functions.

pub mod eval;
pub mod function;
