//! What is wrong with a table.

use std::error::Error as StdError;
use std::fmt;

/// All that is wrong with a table; one line each, in the order of the table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableError {
    /// INVARIANT: not empty.
    pub(super) faults: Vec<Fault>,
}

/// One thing that is wrong with a table.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Fault {
    /// The line of the text, from 1, if there is a text.
    pub line: Option<usize>,
    /// The entry: `route 2`, `upstream users`, or nothing.
    pub entry: String,
    /// What is wrong with it.
    pub what: String,
}

// === impl TableError ===

impl TableError {
    /// All that is wrong. There is at least one.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl StdError for TableError {}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.entry.is_empty() {
            write!(f, "{}: ", self.entry)?;
        }
        f.write_str(&self.what)
    }
}
