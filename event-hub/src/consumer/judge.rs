//! What an answer means for its delivery.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::handler::{Action, BoxError, ErrorTable, Outcome, Panicked, Undecodable, chain, find};

/// What an answer means.
pub(super) struct Judged {
    pub(super) outcome: Outcome,
    /// The reason that a dead letter gives for a rejection.
    pub(super) label: &'static str,
    /// Whether the whole consumer must pause.
    pub(super) hopeless: bool,
}

/// Judges an answer by the table. A table that panics has said nothing.
pub(super) fn judge(table: &ErrorTable, answer: Result<Outcome, BoxError>, attempt: u32) -> Judged {
    let error = match answer {
        Ok(outcome) => return Judged { outcome, label: REJECTED, hopeless: false },
        Err(error) => error,
    };
    catch_unwind(AssertUnwindSafe(|| by_table(table, &error, attempt))).unwrap_or_else(|panic| {
        let reason = format!("the error table: {}", Panicked::new(panic.as_ref()));
        Judged { outcome: Outcome::Retry { reason }, label: REJECTED, hopeless: false }
    })
}

fn by_table(table: &ErrorTable, error: &BoxError, attempt: u32) -> Judged {
    let reason = chain(&**error);
    let label = find::<Undecodable>(&**error).map_or(REJECTED, Undecodable::reason);
    let action = table.action(&**error);
    let outcome = match action {
        Action::Ack => {
            tracing::info!(attempt, reason, "event failed, which does not matter");
            Outcome::Ack
        }
        Action::Pause | Action::Retry => Outcome::Retry { reason },
        Action::RetryAfter(delay) => Outcome::RetryAfter { delay, reason },
        Action::Reject => Outcome::Reject { reason },
        Action::Return => {
            tracing::info!(attempt, reason, "event given back");
            Outcome::Return
        }
    };
    Judged { outcome, label, hopeless: action == Action::Pause }
}

const REJECTED: &str = "rejected";
