//! What several modules of tests need.

pub(crate) mod managed;

use std::future::Future;
use std::time::Duration;

use devkit::{RabbitMq, RabbitMqConfig};
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// Far longer than anything takes on a machine that compiles beside it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let ask = async {
        // Often, so that what lasts for a moment only is seen.
        let mut pause = tokio::time::interval(Duration::from_millis(1));
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

/// A broker with small limits, which lives as long as this process. None when there is none to start.
pub(crate) async fn strict() -> Option<&'static RabbitMq> {
    static STRICT: OnceCell<RabbitMq> = OnceCell::const_new();
    if !RabbitMq::installed() {
        return None;
    }
    let start = || async {
        let mut private = RabbitMqConfig::default();
        private.settings = vec![
            format!("max_message_size = {STRICT_BODY}"),
            // It loses its patience with a handler after so many milliseconds, and looks every second.
            "consumer_timeout = 5000".to_owned(),
        ];
        private.advanced = Some("[{rabbit, [{channel_tick_interval, 1000}]}].\n".to_owned());
        RabbitMq::start_with(&private).await.unwrap()
    };
    Some(STRICT.get_or_init(start).await)
}

/// What a message on the strict broker may have.
pub(crate) const STRICT_BODY: usize = 64 * 1024;
