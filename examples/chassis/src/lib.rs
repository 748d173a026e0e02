//! The shell that the five processes of the reference system share.
//!
//! A service is its own routes, rules and statements; what it has in common with the others is here:
//! configuration, problem answers, extractors, pages, databases, tokens, and the life of a process.

pub mod auth;
pub mod client_addr;
pub mod config;
pub mod db;
pub mod extract;
pub mod http_client;
pub mod origin;
pub mod page;
pub mod problem;
pub mod request_id;
pub mod revocations;
pub mod run;
pub mod service;
pub mod shell;
pub mod validate;

pub use crate::run::run;
pub use crate::service::Service;
pub use crate::shell::Shell;
