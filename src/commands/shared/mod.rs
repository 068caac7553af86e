//! What the commands of several groups share. No command stands here.

pub mod collection;
pub mod ending;
pub mod help;
pub mod scan_options;
