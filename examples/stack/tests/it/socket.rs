//! A socket and everything that came through it, in order.

use anyhow::Context;
use serde_json::Value;
use tramline_ws_rooms::client::{Client, Options};

use crate::api::Api;
use crate::world::LIMIT;

pub(crate) struct Socket {
    client: Client,
    pub(crate) seen: Vec<Value>,
}

impl Socket {
    /// Opens a socket the way a browser does: the token travels as a subprotocol.
    pub(crate) async fn open(api: &Api) -> anyhow::Result<Self> {
        let mut options = Options::bearer(api.token.clone().context("signed in")?);
        options.token_as_subprotocol = true;
        options.origin = Some(api.url.clone());
        let client = Client::connect(&ws(&api.url), options).await?;
        let mut socket = Self { client, seen: Vec::new() };
        socket.wait("welcome", |frame| frame["type"] == "welcome").await?;
        Ok(socket)
    }

    /// Sends a frame as it is.
    pub(crate) async fn send(&mut self, frame: Value) -> anyhow::Result<()> {
        Ok(self.client.send_text(frame.to_string()).await?)
    }

    /// The first frame that is wanted, of those that came and those that will.
    pub(crate) async fn wait(&mut self, what: &str, want: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        if let Some(frame) = self.seen.iter().find(|frame| want(frame)) {
            return Ok(frame.clone());
        }
        let waiting = async {
            while let Some(text) = self.client.next_text().await? {
                let frame: Value = serde_json::from_str(&text)?;
                self.seen.push(frame.clone());
                if want(&frame) {
                    return Ok(frame);
                }
            }
            anyhow::bail!("closed with {:?} before {what}", self.client.close_code())
        };
        tokio::time::timeout(LIMIT, waiting).await.with_context(|| format!("never: {what}"))?
    }

    /// The event of this type about this payment, and the room it came in.
    pub(crate) async fn event(&mut self, event_type: &str, payment: &str) -> anyhow::Result<Value> {
        self.wait(event_type, |frame| {
            frame["type"] == "event"
                && frame["event"]["type"] == event_type
                && (frame["event"]["data"]["paymentId"] == payment
                    || frame["event"]["data"]["resourceId"] == payment)
        })
        .await
    }

    /// Waits for the end and gives its code.
    pub(crate) async fn closed(self) -> anyhow::Result<u16> {
        Ok(self.read_to_end().await?.1)
    }

    /// Reads to the end: everything that came, and the close code.
    pub(crate) async fn read_to_end(mut self) -> anyhow::Result<(Vec<Value>, u16)> {
        let ending = async {
            while let Some(text) = self.client.next_text().await? {
                self.seen.push(serde_json::from_str(&text)?);
            }
            self.client.close_code().context("a close frame")
        };
        let code = tokio::time::timeout(LIMIT, ending).await.context("never closed")??;
        Ok((self.seen, code))
    }
}

pub(crate) fn ws(url: &str) -> String {
    format!("{}/ws", url.replacen("http", "ws", 1))
}
