//! The crate from outside: the conformance suite on every store, verifiers, shared engines.

mod redis;
mod stores;
mod tickets;
mod verifier;
