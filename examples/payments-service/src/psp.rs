//! The payment provider, simulated: it takes up payments and calls our webhook like a real one.

mod caller;
pub(crate) mod signature;
pub(crate) mod simulator;

/// How many jobs are worked on at a time: a webhook that does not answer holds up one of four, and a burst of payments
/// does not wait for one call after the other. Few, since each takes a connection of the database.
pub(crate) const WORKERS: usize = 4;
