//! The system as a whole: the same journey on embedded and on real engines, and what happens when things break.

mod api;
mod caches;
mod faults;
mod journey;
mod killed;
mod leaving;
mod page;
mod parties;
mod socket;
mod world;
