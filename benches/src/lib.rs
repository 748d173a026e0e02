//! Load programs of our crates, which `cargo dev bench` runs beside those of their peers.
//!
//! See `README.md` for how to run them and how to read what they tell.

pub mod event_hub;
