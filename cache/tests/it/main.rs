//! The cache in memory, on the twin of Redis, on a real Redis, and on one that fails.
#![allow(clippy::unwrap_used, reason = "a step that fails is a test that fails")]

mod memory;
mod twin;
