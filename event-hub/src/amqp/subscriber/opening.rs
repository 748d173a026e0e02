//! A consumer that is being opened, and may not get to its end.

use lapin::Channel;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::amqp::PATIENCE;

/// Closes its channel unless told that it is open.
///
/// lapin keeps a consumer whose opener has left: the broker would go on giving it messages, up to its prefetch, that
/// nobody takes and nobody gives back.
#[derive(Debug)]
pub(super) struct Opening(Option<Channel>);

// === impl Opening ===

impl Opening {
    pub(super) fn of(channel: &Channel) -> Self {
        Self(Some(channel.clone()))
    }

    pub(super) fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Some(channel) = self.0.take().filter(|channel| channel.status().connected()) else { return };
        // Without a runtime the connection ends too.
        if let Ok(runtime) = Handle::try_current() {
            // ORDER: after whatever was sent on this channel, so that the broker forgets that as well.
            runtime.spawn(async move {
                let _ = timeout(PATIENCE, channel.close(200, "not wanted any more".into())).await;
            });
        }
    }
}
