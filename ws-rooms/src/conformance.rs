//! The suite for backplanes (feature `test-support`): what [`Driver`](crate::backplane::Driver)
//! promises, seen through nodes and sockets in memory.
