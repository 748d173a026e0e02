//! What is done about failures.

pub(crate) mod retry;
