//! Marks of handled events, written in the transaction of their effect.
