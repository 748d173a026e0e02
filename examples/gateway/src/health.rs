//! The gateway's `/health`: its own readiness and that of every service behind it, asked once a second at most while all
//! is well.

use std::sync::Arc;
use std::time::Duration;

use chassis::http_client::JsonClient;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tramline_observability::Health;
use url::Url;

use crate::config::Upstreams;

/// Asks the services. Clones share the answer.
#[derive(Clone)]
pub(crate) struct SystemHealth(Arc<Inner>);

struct Inner {
    own: Health,
    services: Vec<Url>,
    client: JsonClient,
    /// Held while asking, so that many who ask at once cause one round.
    last: Mutex<Option<(Instant, bool)>>,
}

/// The contract's one second, for «all is well».
const KEPT: Duration = Duration::from_secs(1);

/// As long as the services keep their own «not ready»: whoever waits for a start sees its end at once.
const KEPT_NOT_WELL: Duration = Duration::from_millis(100);

impl SystemHealth {
    pub(crate) fn new(own: Health, upstreams: &Upstreams) -> Self {
        let lists = [&upstreams.auth, &upstreams.payments, &upstreams.admin, &upstreams.profile];
        let services = lists
            .into_iter()
            .flat_map(|list| list.split(','))
            .filter_map(|address| {
                let address = address.trim();
                let absolute =
                    if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
                Url::parse(&absolute).ok()?.join("/health").ok()
            })
            .collect();
        Self(Arc::new(Inner { own, services, client: JsonClient::new(), last: Mutex::default() }))
    }

    /// Whether all is well.
    pub(crate) async fn is_well(&self) -> bool {
        let inner = &*self.0;
        let mut last = inner.last.lock().await;
        if let Some((at, well)) = *last
            && at.elapsed() < if well { KEPT } else { KEPT_NOT_WELL }
        {
            return well;
        }
        let asked = join_all(inner.services.iter().map(|url| inner.client.get::<serde_json::Value>(url)));
        let well = inner.own.ready().await.is_ready() && asked.await.iter().all(Result::is_ok);
        *last = Some((Instant::now(), well));
        well
    }
}

#[cfg(test)]
mod tests;
