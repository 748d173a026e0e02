//! The payments service as its clients, its provider and the other services see it, by the contract.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, but not to clippy")]

/// Makes a test of `async fn name(app: App)` for each database, on an [`App`](support::App) made by `make`.
macro_rules! on_both_databases {
    ($($make:ident: $($name:ident),+;)+) => {
        $($(mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$name(crate::support::App::$make(crate::support::Place::sqlite()).await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                if let Some(place) = crate::support::Place::postgres().await {
                    super::$name(crate::support::App::$make(place).await).await;
                }
            }
        })+)+
    };
}

mod caches;
mod cancel;
mod copies;
mod create;
mod events;
mod idempotency;
mod list;
mod read;
mod recipients;
mod reports;
mod routes;
mod simulator;
mod sums;
mod support;
mod webhook;
