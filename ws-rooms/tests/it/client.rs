//! The client against real servers on the loopback.

mod server;
mod session;
mod tls;
