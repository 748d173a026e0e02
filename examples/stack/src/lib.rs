//! The whole reference system in one process: gateway and four services on embedded engines, nothing else needed.
//!
//! In-memory hub, memory caches, SQLite files below `./data`. A variable that names an engine
//! (`RABBITMQ_URL`, `REDIS_URL`, a `*_DATABASE_URL`) puts that engine in the twin's place.

mod banner;
mod folder;
mod options;
mod ports;
mod system;

pub use crate::banner::banner;
pub use crate::folder::Folder;
pub use crate::options::Options;
pub use crate::ports::Ports;
pub use crate::system::{Stack, StackError, Summary};
