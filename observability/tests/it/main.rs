//! The crate from the outside.

#![allow(
    clippy::unwrap_used,
    reason = "the lint knows test functions, not the helpers of an integration test"
)]

mod admin;
mod axum_router;
mod http_layer;
mod otlp;
mod wire;
