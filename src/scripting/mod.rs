//! Running scripts and functions within commands: what joins Lua with a command's context.
//!
//! The room `lua` below knows machines, scripts and libraries; the files here lend a script what it needs of
//! the server while it runs. [`run`] runs a program, [`call`] a command that a script calls, [`direct`] a
//! script that needs no machine.

pub mod call;
pub mod direct;
pub mod run;
