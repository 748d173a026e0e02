//! The gateway on real listeners, before services that are small and of the test's own.

mod edge;
mod limits;
mod proxying;
mod sockets;
mod support;
