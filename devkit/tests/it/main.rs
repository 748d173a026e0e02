//! devkit against real servers.

#![allow(clippy::unwrap_used, reason = "in tests, helpers included, a panic is the report")]

mod death;
mod engines;
mod fault;
mod servers;
