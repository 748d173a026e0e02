//! devkit against real servers.

mod fault;
mod servers;
