//! Scripts and functions in Lua 5.1.

pub mod library;
