//! The client on pipes in memory, under paused time: a scripted server, drawn numbers that are known.

mod life;
mod link;
mod rooms;
mod script;
mod tokens;
mod vectors;
mod world;
