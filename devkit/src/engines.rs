//! The servers that all tests of a process share.
//!
//! `cargo dev test` starts them once for all processes and names them in `TRAMLINE_TEST_AMQP_URL`,
//! `TRAMLINE_TEST_REDIS_URL` and `TRAMLINE_TEST_POSTGRES_URL`. Without these, the first test that
//! asks starts one for its process. `TRAMLINE_TEST_AMQP_NODE` opens the door to virtual hosts. Use names of your own in them, and never stop them.
//!
//! Each function returns `None`, and says so on standard error, when a server is neither named nor
//! installed: return from the test then.
//!
//! # Panics
//!
//! Each panics instead when `TRAMLINE_TEST_ENGINES` is `required`, and when a server is there but
//! does not work: a test that could run and did not must not look like one that passed.

use std::future::Future;
use std::sync::Once;

use anyhow::Context;
use tokio::sync::OnceCell;

use crate::server::postgres;
use crate::server::rabbitmq::vhost;
use crate::{Nginx, Postgres, RabbitMq, Redis, RedisCluster};

/// A server of this process, or a named one. Statics are never dropped: the guardian ends it.
enum Shared<S> {
    Named(String),
    Own(S, String),
    Absent,
}

/// A RabbitMQ: `amqp://127.0.0.1:PORT/%2f`.
///
/// # Panics
///
/// See the [module](self).
///
/// # Cancel safety
///
/// If dropped, the next caller starts anew.
pub async fn amqp() -> Option<&'static str> {
    static TOLD: Once = Once::new();
    shared_rabbitmq().await.url("RabbitMQ", &TOLD)
}

/// A virtual host of your own on [`amqp`]: queues and exchanges may bear their real names in it.
///
/// # Panics
///
/// See the [module](self); also when the virtual host cannot be made.
///
/// # Cancel safety
///
/// If dropped, the virtual host may have been made; it goes with the server.
pub async fn fresh_vhost() -> Option<String> {
    let url = amqp().await?;
    let made = async {
        let node = match shared_rabbitmq().await {
            Shared::Own(server, _) => server.node()?,
            _ => std::env::var("TRAMLINE_TEST_AMQP_NODE").context("TRAMLINE_TEST_AMQP_NODE")?,
        };
        let name = vhost::fresh(&node).await?;
        let server = url.rsplit_once('/').context("a URL without a virtual host")?.0;
        anyhow::Ok(format!("{server}/{name}"))
    };
    match made.await {
        Ok(url) => Some(url),
        Err(error) => panic!("cannot make a virtual host on {url}: {error:#}"),
    }
}

async fn shared_rabbitmq() -> &'static Shared<RabbitMq> {
    static SHARED: OnceCell<Shared<RabbitMq>> = OnceCell::const_new();
    let start = || async {
        let server = RabbitMq::start().await?;
        let url = server.url();
        Ok((server, url))
    };
    SHARED.get_or_init(|| shared("TRAMLINE_TEST_AMQP_URL", RabbitMq::installed(), start)).await
}

/// A Redis: `redis://127.0.0.1:PORT`.
///
/// # Panics
///
/// See the [module](self).
///
/// # Cancel safety
///
/// If dropped, the next caller starts anew.
pub async fn redis() -> Option<&'static str> {
    static SHARED: OnceCell<Shared<Redis>> = OnceCell::const_new();
    static TOLD: Once = Once::new();
    let start = || async {
        let server = Redis::start().await?;
        let url = server.url();
        Ok((server, url))
    };
    let shared = SHARED.get_or_init(|| shared("TRAMLINE_TEST_REDIS_URL", Redis::installed(), start)).await;
    shared.url("Redis", &TOLD)
}

/// A Redis Cluster of three masters, as URLs. Each process has its own.
///
/// # Panics
///
/// See the [module](self).
///
/// # Cancel safety
///
/// If dropped, the next caller starts anew.
pub async fn redis_cluster() -> Option<&'static [String]> {
    static SHARED: OnceCell<(RedisCluster, Vec<String>)> = OnceCell::const_new();
    static TOLD: Once = Once::new();
    if !Redis::installed() {
        absent("Redis", &TOLD);
        return None;
    }
    let start = || async {
        let cluster = RedisCluster::start(3).await.unwrap_or_else(|error| panic!("{error:#}"));
        let urls = cluster.urls();
        (cluster, urls)
    };
    Some(&SHARED.get_or_init(start).await.1)
}

/// A PostgreSQL, as superuser: `postgres://postgres@127.0.0.1:PORT/postgres`.
///
/// # Panics
///
/// See the [module](self).
///
/// # Cancel safety
///
/// If dropped, the next caller starts anew.
pub async fn postgres() -> Option<&'static str> {
    static SHARED: OnceCell<Shared<Postgres>> = OnceCell::const_new();
    static TOLD: Once = Once::new();
    let start = || async {
        let server = Postgres::start().await?;
        let url = server.url();
        Ok((server, url))
    };
    let shared =
        SHARED.get_or_init(|| shared("TRAMLINE_TEST_POSTGRES_URL", Postgres::installed(), start)).await;
    shared.url("PostgreSQL", &TOLD)
}

/// An empty database of your own on [`postgres`].
///
/// # Panics
///
/// See the [module](self); also when the database cannot be made.
///
/// # Cancel safety
///
/// If dropped, the database may have been made; it goes with the server.
pub async fn fresh_database() -> Option<String> {
    let server = postgres().await?;
    match postgres::fresh_database(server).await {
        Ok(url) => Some(url),
        Err(error) => panic!("cannot make a database on {server}: {error:#}"),
    }
}

/// Whether an nginx can be started here ([`Nginx::start_with`]): it is a program for a test alone, since each has its
/// configuration.
///
/// # Panics
///
/// See the [module](self).
#[must_use]
pub fn nginx() -> bool {
    static TOLD: Once = Once::new();
    let there = Nginx::installed();
    if !there {
        absent("nginx", &TOLD);
    }
    there
}

async fn shared<S, F>(variable: &str, installed: bool, start: impl FnOnce() -> F) -> Shared<S>
where
    F: Future<Output = anyhow::Result<(S, String)>>,
{
    if let Ok(url) = std::env::var(variable) {
        return Shared::Named(url);
    }
    if !installed {
        return Shared::Absent;
    }
    match start().await {
        Ok((server, url)) => Shared::Own(server, url),
        Err(error) => panic!("{error:#}"),
    }
}

// === impl Shared ===

impl<S> Shared<S> {
    fn url(&self, name: &str, told: &Once) -> Option<&str> {
        match self {
            Self::Named(url) | Self::Own(_, url) => Some(url),
            Self::Absent => {
                absent(name, told);
                None
            }
        }
    }
}

/// Says, once, that something is missing; where nothing may be, it is a failure.
pub(crate) fn absent(name: &str, told: &Once) {
    let required = std::env::var("TRAMLINE_TEST_ENGINES");
    assert!(
        required.as_deref() != Ok("required"),
        "no {name} here, and TRAMLINE_TEST_ENGINES=required: try `cargo dev test`"
    );
    told.call_once(|| say_skipped(name));
}

#[expect(clippy::print_stderr, reason = "a skipped test must be seen, with or without tracing")]
fn say_skipped(name: &str) {
    eprintln!("SKIPPED (no {name}): install it, or run `cargo dev test`");
}
