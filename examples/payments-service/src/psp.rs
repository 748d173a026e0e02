//! The payment provider, simulated: it takes up payments and calls our webhook like a real one.

mod caller;
pub(crate) mod signature;
pub(crate) mod simulator;
