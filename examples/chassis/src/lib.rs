//! The shell that the five processes of the reference system share.
//!
//! A service is its own routes, rules and statements; what it has in common with the others is here:
//! configuration, problem answers, extractors, pages, databases, tokens, and the life of a process.

pub mod client_addr;
pub mod config;
pub mod db;
pub mod extract;
pub mod page;
pub mod problem;
pub mod request_id;
pub mod validate;
