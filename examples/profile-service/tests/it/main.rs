//! The profile service as its contract has it, driven through its router; and its binary's configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; the helpers are part of the tests")]

mod events;
mod later;
mod problems;
mod process;
mod profile;
mod support;
