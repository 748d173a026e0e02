//! The public surface on real sockets: hyper upstreams, and peers that speak raw bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, but not to clippy")]

mod access_log;
mod answers;
mod body_layers;
mod check;
mod client;
mod dns;
mod drain;
mod errors;
mod examples;
mod expect;
mod faults;
mod forward_example;
mod forwarding;
mod framing;
mod guide;
mod h2_abuse;
mod h2_server;
mod h2_settings;
mod h2_upstream;
mod h2client;
mod h2raw;
mod headers;
mod health;
mod https_upstream;
mod layers;
mod limits;
mod matrix;
mod metrics;
mod origin;
mod pool;
mod proxy_protocol;
mod rate_limit;
mod redirect;
mod reload;
mod restart;
mod retry;
mod routing;
mod slow;
mod streams;
mod tls;
mod trailers;
mod upgrade;
