//! socketioxide on hyper, over WebSockets alone, with its own buffers.

use anyhow::{Context, anyhow};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use socketioxide::extract::SocketRef;
use socketioxide::{SocketIo, TransportType};

/// What is published. Socket.IO encodes it, once for all.
#[derive(Deserialize, Serialize)]
struct Event<'a> {
    specversion: &'a str,
    id: &'a str,
    r#type: &'a str,
    source: &'a str,
    /// Only in large ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    number: &'a str,
}

fn main() -> anyhow::Result<()> {
    rooms::run(async |members, control| {
        let (service, io) = SocketIo::builder().transports([TransportType::Websocket]).build_svc();
        io.ns("/", async |member: SocketRef| {
            let query = member.req_parts().uri.query().unwrap_or_default();
            let mut parameters = url::form_urlencoded::parse(query.as_bytes());
            if let Some((_, room)) = parameters.find(|(name, _)| name == "room") {
                member.join(room.into_owned());
                // Fails when the member has left already.
                let _ = member.emit("joined", "");
            }
        });
        tokio::spawn(async move {
            loop {
                let (stream, _) = members.accept().await?;
                stream.set_nodelay(true)?;
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(connection.with_upgrades());
            }
            #[expect(unreachable_code, reason = "the type of the errors above")]
            anyhow::Ok(())
        });
        rooms::publishers(control, async |room, event| {
            if let Err(error) = publish(&io, room, event).await {
                eprintln!("an event: {error:#}");
            }
        })
        .await
    })
}

async fn publish(io: &SocketIo, room: &str, event: &str) -> anyhow::Result<()> {
    let event: Event<'_> = serde_json::from_str(event).context("no event")?;
    io.to(room.to_owned()).emit("event", &event).await.map_err(|error| anyhow!("{error}"))
}
