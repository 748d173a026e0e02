//! The gateway on real listeners, before services that are small and of the test's own.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod edge;
mod edges;
mod limits;
mod proxying;
mod rooms_on_redis;
mod routes;
mod sockets;
mod support;
