//! What goes between a subscription's owner and its workers: one lock for each step, one wake for many.
//!
//! A channel that wakes its reader with each thing put into it makes of a busy consumer a game of two tasks that
//! hand over one event at a time. Here whoever puts something in wakes somebody only where somebody waits, and
//! what can wait for company does.

mod line;
mod settlements;

pub(crate) use crate::handover::line::{Inlet, Line, Refused};
pub(crate) use crate::handover::settlements::{Settled, Settlements, settlements};
