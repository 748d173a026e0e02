//! Real servers for tests, faults to put in front of them, and the `cargo dev` commands.
//!
//! - [`engines`]: the RabbitMQ, Redis and PostgreSQL that every test of a process shares.
//! - [`RabbitMq`], [`Redis`], [`Postgres`], [`Nginx`]: a private server for a test that stops,
//!   kills, pauses or restarts it.
//! - [`System`]: the five processes of the reference system on servers of their own.
//! - [`Fault`]: a TCP proxy that delays, cuts, silences or throttles what passes through it.
//!
//! Every server listens on loopback, on ports that no other test process of this machine holds, and
//! keeps its data in a temporary folder. Nothing outlives the process that started it: handles end
//! their servers when dropped, and a small guardian process ends what is left when the process dies
//! in any other way.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let redis = devkit::Redis::start().await?;
//! let fault = devkit::Fault::new(redis.addr()).await?;
//! let url = fault.url(&redis.url());
//! // … connect to `url`, then:
//! fault.cut();
//! # Ok(())
//! # }
//! ```

pub mod cli;
pub mod engines;
mod fault;
pub mod foreign;
mod guardian;
mod ports;
mod process;
mod program;
mod scratch;
mod server;
mod system;
mod wire;

pub use crate::fault::Fault;
pub use crate::server::nginx::Nginx;
pub use crate::server::postgres::Postgres;
pub use crate::server::rabbitmq::{Permissions, RabbitMq, RabbitMqConfig, RabbitMqTls};
pub use crate::server::redis::{Redis, RedisCluster, RedisSentinels};
pub use crate::system::service::{Service, ServiceProcess};
pub use crate::system::{System, SystemConfig};
