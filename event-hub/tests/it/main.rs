//! The public face, on the memory hub and on a real broker.

mod memory;
