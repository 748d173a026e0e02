//! The crate from outside: the conformance suite on every store, verifiers, shared engines.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod redis;
mod stores;
mod tickets;
mod verifier;
