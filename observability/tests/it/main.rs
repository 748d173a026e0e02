//! The crate from the outside.

mod admin;
mod http_layer;
mod otlp;
mod wire;
