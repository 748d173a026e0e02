//! Clients in other languages, for tests that exchange messages with them.
//!
//! `cargo dev test` installs what their scripts need, by the lists beside the scripts, and names the programs in
//! `TRAMLINE_TEST_PYTHON` and `TRAMLINE_TEST_NODE`. Without these each function returns `None` and says so on
//! standard error: return from the test then.
//!
//! # Panics
//!
//! Each panics instead when `TRAMLINE_TEST_ENGINES` is `required`.

use std::path::PathBuf;
use std::sync::Once;

use crate::engines::absent;

pub(crate) const PYTHON: &str = "TRAMLINE_TEST_PYTHON";
pub(crate) const NODE: &str = "TRAMLINE_TEST_NODE";

/// A Python that has the packages of `event-hub/tests/foreign/python/requirements.txt`.
///
/// # Panics
///
/// See the [module](self).
#[must_use]
pub fn python() -> Option<PathBuf> {
    static TOLD: Once = Once::new();
    named(PYTHON, "Python clients", &TOLD)
}

/// A Node, with the packages of `event-hub/tests/foreign/node` installed in that folder.
///
/// # Panics
///
/// See the [module](self).
#[must_use]
pub fn node() -> Option<PathBuf> {
    static TOLD: Once = Once::new();
    named(NODE, "Node clients", &TOLD)
}

fn named(variable: &str, name: &str, told: &Once) -> Option<PathBuf> {
    let program = std::env::var_os(variable).map(PathBuf::from);
    if program.is_none() {
        absent(name, told);
    }
    program
}
