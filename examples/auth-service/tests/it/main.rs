//! The auth service as its contract has it, driven through its router; and as a process, through its binary.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking; the helpers are part of the tests")]
#![allow(clippy::needless_pass_by_value, reason = "a json!({…}) is handed over as it is written")]

mod databases;
mod events;
mod later;
mod limits;
mod login;
mod me;
mod problems;
mod process;
mod refresh;
mod register;
mod seed;
mod sessions;
mod support;
mod tickets;
mod tokens;
mod well_known;
