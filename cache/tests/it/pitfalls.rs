//! What broke other caches, each of it once: races, stampedes, floods and leaks. In paused time, or by a clock that the
//! test moves.

mod ages;
mod bounds;
mod cancelled;
mod counts;
mod glances;
mod last_words;
mod late_fills;
mod leases;
mod many_nodes;
mod nothing;
mod policies;
mod refreshing;
mod stale;
mod trips;
mod unreadable;
mod within;
