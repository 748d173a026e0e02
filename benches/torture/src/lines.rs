//! What a worker tells its parent on standard output, a line each.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::tally::Counts;

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Line {
    /// What it has counted in this life.
    Counts(Counts),
    /// Ids of events that are about to be sent for the first time; true for poison.
    Offered(Vec<(String, bool)>),
    Answered(Answered),
    /// A publisher's: nothing new is wanted, and all that it has sent is confirmed.
    Finished,
}

/// What the hub answered to a batch.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Answered {
    pub(crate) confirmed: Vec<String>,
    /// All others by name.
    pub(crate) others: BTreeMap<String, u64>,
    /// Those among the others after which nobody can know.
    pub(crate) unknown: u64,
}

impl Line {
    /// Prints it. When this returns the parent will read it, whatever becomes of this process.
    pub(crate) fn tell(&self) {
        let Ok(line) = serde_json::to_string(self) else { return };
        let mut out = std::io::stdout().lock();
        // A parent that is gone is seen on standard input.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}
