//! The profile service as its contract has it, driven through its router; and its binary's configuration.

mod events;
mod later;
mod problems;
mod process;
mod profile;
mod support;
