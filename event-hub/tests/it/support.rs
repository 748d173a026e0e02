//! What several modules of tests need.

pub(crate) mod managed;

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;

/// Far longer than anything takes on a machine that compiles beside it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let ask = async {
        let mut pause = tokio::time::interval(Duration::from_millis(10));
        while !holds() {
            pause.tick().await;
        }
    };
    soon(what, ask).await;
}

/// A name that no other test has.
pub(crate) fn name() -> String {
    format!("f{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}
