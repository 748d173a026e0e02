//! The public surface on real sockets: hyper upstreams, and peers that speak raw bytes.

mod client;
mod drain;
mod faults;
mod forwarding;
mod framing;
mod origin;
mod pool;
mod rate_limit;
mod streams;
mod upgrade;
