//! Commands for keys of any type.

pub mod bless;
pub mod dump;
pub mod expire;
pub mod keys;
pub mod migrate;
pub mod object;
pub mod scan;
pub mod sort;
pub mod wait;
