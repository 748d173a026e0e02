//! Configuration: a map of variables in, typed values out, an error that names the variable.
//!
//! Only a `main.rs` reads the process's environment; everything else is given [`Vars`].

mod common;
mod secret;
mod vars;

pub use self::common::{Common, LogFormat, Process};
pub use self::secret::{DatabaseUrl, Secret, SecretUrl};
pub use self::vars::{ConfigError, EXIT_CONFIG, Vars};

#[cfg(test)]
mod tests;
