//! What a test asks for.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tramline_ws_rooms::{Close, Publication, RoomId, Target};

use crate::bed::pages::text;
use crate::{Answer, Bed};

/// `POST` of one JSON object:
///
/// | path | object |
/// |---|---|
/// | `/publish` | `id`, `rooms`, `data`: an event, from the last node |
/// | `/revoke` | `user`: ends the user's session on every node |
/// | `/drain` | `node`: it drains, and another stands in its place |
/// | `/cut`, `/silence`, `/heal` | the link: resets what is open; lets nothing through; lets everything through |
pub(crate) async fn control(bed: &Bed, request: Request<Incoming>) -> Answer {
    let path = request.uri().path().to_owned();
    let Ok(body) = request.into_body().collect().await else {
        return text(StatusCode::BAD_REQUEST, "no body");
    };
    let asked: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    match work(bed, &path, &asked).await {
        Some(()) => text(StatusCode::OK, "done"),
        None => text(StatusCode::BAD_REQUEST, "no such thing can be asked"),
    }
}

async fn work(bed: &Bed, path: &str, asked: &Value) -> Option<()> {
    match path {
        "/publish" => {
            let id = asked["id"].as_str()?;
            let names = asked["rooms"].as_array()?.iter().map(|name| RoomId::parse(name.as_str()?).ok());
            let rooms = names.collect::<Option<Vec<RoomId>>>()?;
            let event = json!({"specversion": "1.0", "id": id, "type": "test.made", "data": asked["data"]});
            let publication = Publication::new(id, rooms, event.to_string()).ok()?;
            bed.nodes.node(2).publish(publication).await.ok()?;
        }
        "/revoke" => {
            let user = Target::User(asked["user"].as_str()?.to_owned());
            for node in bed.nodes.all() {
                node.close(&user, &Close::SESSION_REVOKED);
            }
        }
        "/drain" => {
            let number = usize::try_from(asked["node"].as_u64()?).ok().filter(|number| *number < 3)?;
            let old = bed.nodes.replace(number);
            tokio::spawn(async move { old.drain(Duration::from_secs(10)).await });
        }
        "/cut" => bed.link.cut_once(),
        "/silence" => bed.link.half_open(),
        "/heal" => bed.link.heal(),
        _ => return None,
    }
    Some(())
}
