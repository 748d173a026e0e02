//! The client against real servers on the loopback.

mod listen;
mod server;
mod session;
pub(crate) mod tls;
