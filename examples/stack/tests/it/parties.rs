//! Who may enter a payment's room: its sender, its recipient, and admins.

use anyhow::Context;
use serde_json::{Value, json};

use crate::api::{ADMIN, Api, CUSTOMER, VENDOR, text};
use crate::socket::Socket;

/// Somebody with a socket.
struct Person {
    api: Api,
    socket: Socket,
}

impl Person {
    async fn new(api: Api) -> anyhow::Result<Self> {
        Ok(Self { socket: Socket::open(&api).await?, api })
    }
}

/// Two payments, of each of which somebody who is signed in is no party.
pub(crate) async fn enter_and_nobody_else(url: &str) -> anyhow::Result<()> {
    let mut customer = Person::new(Api::sign_in(url, CUSTOMER).await?).await?;
    let mut vendor = Person::new(Api::sign_in(url, VENDOR).await?).await?;
    let mut admin = Person::new(Api::sign_in(url, ADMIN).await?).await?;
    let mut friend = Person::new(Api::register(url, "friend@example.com").await?).await?;
    let sold = text(&customer.api.pay("3.50", VENDOR).await?, "/id")?;
    only([&mut customer, &mut vendor, &mut admin], &sold, &mut friend.socket).await?;
    let lent = text(&friend.api.pay("4.50", CUSTOMER).await?, "/id")?;
    only([&mut friend, &mut customer, &mut admin], &lent, &mut vendor.socket).await
}

/// Sender, recipient and admin enter a payment's room. The other learns no more than of a payment that there is not, is not
/// in the room, and recovers nothing there.
async fn only(mut parties: [&mut Person; 3], payment: &str, other: &mut Socket) -> anyhow::Result<()> {
    let nowhere = uuid::Uuid::now_v7().to_string();
    // The other asks first, and again once the gateway knows that there are some who may.
    refused(other, payment, &nowhere, None).await?;
    let mut since = Value::Null;
    for party in &mut parties {
        let answer = ask(&mut party.socket, payment, None).await?;
        anyhow::ensure!(answer["type"] == "subscribed", "{answer}");
        since = json!({ "epoch": answer["epoch"], "offset": 0 });
    }
    refused(other, payment, &nowhere, None).await?;
    refused(other, payment, &nowhere, Some(&since)).await?;
    let ids = parties.each_ref().map(|party| party.api.user_id.clone());
    met(&mut parties[0].socket, payment, &ids).await
}

/// Asks for a payment's room and gives the answer.
async fn ask(socket: &mut Socket, payment: &str, since: Option<&Value>) -> anyhow::Result<Value> {
    let id = uuid::Uuid::now_v7().to_string();
    let mut request = json!({ "type": "subscribe", "id": id, "room": format!("payment:{payment}") });
    if let Some(since) = since {
        request["since"] = since.clone();
    }
    socket.send(request).await?;
    socket.wait("an answer", |frame| frame["id"] == id).await
}

/// The payment's room is forbidden, in the same words as one of a payment that there is not.
async fn refused(
    socket: &mut Socket,
    payment: &str,
    nowhere: &str,
    since: Option<&Value>,
) -> anyhow::Result<()> {
    let mut answers = [ask(socket, payment, since).await?, ask(socket, nowhere, since).await?];
    for answer in &mut answers {
        anyhow::ensure!(answer["type"] == "error" && answer["code"] == "FORBIDDEN", "{answer}");
        answer["id"] = Value::Null;
    }
    anyhow::ensure!(answers[0] == answers[1], "{answers:?}");
    Ok(())
}

/// The parties have come into a payment's room, the sender first, and nobody else is there.
async fn met(sender: &mut Socket, payment: &str, parties: &[String; 3]) -> anyhow::Result<()> {
    let room = format!("payment:{payment}");
    let others = &parties[1..];
    for other in others {
        let came = |frame: &Value| {
            frame["type"] == "joined" && frame["room"] == room && frame["userId"] == other.as_str()
        };
        sender.wait("word that a party has come", came).await?;
    }
    sender.send(json!({ "type": "presence", "id": room, "room": room })).await?;
    let answer = sender.wait("who is there", |frame| frame["id"] == room).await?;
    let members = answer["members"].as_array().context("a list")?;
    let there: anyhow::Result<Vec<_>> = members.iter().map(|member| text(member, "/userId")).collect();
    let there = there?;
    anyhow::ensure!(there.iter().all(|user| parties.contains(user)), "{answer}");
    // The sender may be written down later than those who came behind.
    anyhow::ensure!(others.iter().all(|other| there.contains(other)), "{answer}");
    Ok(())
}
