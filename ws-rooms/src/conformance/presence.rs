//! Who is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;

use super::harness::{connect_as, next, node, room};
use crate::backplane::Backplane;
use crate::client::Client;
use crate::presence::USERS;
use crate::protocol::{Member, Request, ServerFrame};
use crate::rooms::Rooms;

const ROOM: &str = "people";

/// A user's first connection and last are told, once over both nodes; who comes back in time has never left.
pub(super) async fn people_come_and_go_once(first: Backplane, second: Backplane) {
    let (east, west) = (node(first), node(second));
    let mut ada = enter(&east, "ada").await;
    let bob = enter(&west, "bob").await;
    assert_eq!(news(&mut ada).await, ("joined", "bob".to_owned()));
    let tab = enter(&east, "bob").await;
    let mut cyd = enter(&west, "cyd").await;
    assert_eq!(news(&mut ada).await, ("joined", "cyd".to_owned()), "a second connection is no news");
    for reader in [&mut ada, &mut cyd] {
        let list = [("ada", 1), ("bob", 2), ("cyd", 1)];
        until_listed(reader, &list).await;
    }
    // From one node to the other, and with a moment in between.
    drop(bob);
    until_listed(&mut ada, &[("ada", 1), ("bob", 1), ("cyd", 1)]).await;
    drop(tab);
    until_listed(&mut cyd, &[("ada", 1), ("bob", 0), ("cyd", 1)]).await;
    let bob = enter(&west, "bob").await;
    until_listed(&mut ada, &[("ada", 1), ("bob", 1), ("cyd", 1)]).await;
    let dan = enter(&east, "dan").await;
    for reader in [&mut ada, &mut cyd] {
        assert_eq!(news(reader).await, ("joined", "dan".to_owned()), "who came back has never left");
    }
    drop(bob);
    for reader in [&mut ada, &mut cyd] {
        assert_eq!(news(reader).await, ("left", "bob".to_owned()));
    }
    drop(dan);
    for reader in [&mut ada, &mut cyd] {
        assert_eq!(news(reader).await, ("left", "dan".to_owned()));
        until_listed(reader, &[("ada", 1), ("cyd", 1)]).await;
    }
    let bob = enter(&east, "bob").await;
    for reader in [&mut ada, &mut cyd] {
        assert_eq!(news(reader).await, ("joined", "bob".to_owned()), "anew");
    }
    drop(bob);
}

/// The bound counts people: not their connections, nor the nodes that they are on, but those too who may come back.
pub(super) async fn a_room_lists_so_many_people(first: Backplane, second: Backplane) {
    let _nodes = [node(first.clone()), node(second.clone())];
    let (east, west, room) = (first.driver(), second.driver(), room(ROOM));
    let user = |number: usize| -> Arc<str> { format!("u{number:05}").into() };
    for number in 0..USERS {
        east.enter(&room, &user(number));
        if number % 2 == 0 {
            west.enter(&room, &user(number));
        }
    }
    let two = |list: &[Member]| list.iter().filter(|member| member.connections == 2).count();
    until_present(&first, |list| list.len() == USERS && two(list) == USERS / 2).await;
    // Beyond it nobody is seen, also where one of them is only about to leave. Each time somebody known follows, so that
    // the answer is one of later.
    let unseen = async |late: &str, connections: u32| {
        west.enter(&room, &late.into());
        until_present(&first, |_| true).await;
        west.enter(&room, &user(0));
        let list = until_present(&first, |list| list[0].connections == connections).await;
        assert!(list.len() == USERS && list.iter().all(|member| member.user_id != late), "{late} is seen");
    };
    unseen("late", 3).await;
    east.exit(&room, &user(1), Duration::from_secs(3_600));
    until_present(&first, |list| list[1].connections == 0).await;
    unseen("later", 4).await;
    east.enter(&room, &user(1));
    until_present(&first, |list| list[1].connections == 1).await;
    east.exit(&room, &user(1), Duration::ZERO);
    until_present(&first, |list| list.len() == USERS - 1).await;
    west.enter(&room, &"new".into());
    let list = until_present(&first, |list| list.len() == USERS).await;
    assert!(list.iter().any(|member| member.user_id == "new"), "somebody has left, and one has place");
    // Who was there unseen is seen with the next connection, and stays until the last, whichever goes first.
    east.exit(&room, &user(3), Duration::ZERO);
    until_present(&first, |list| list.len() == USERS - 1).await;
    let late = |list: &[Member]| -> Option<u32> {
        list.iter().find(|member| member.user_id == "late").map(|member| member.connections)
    };
    west.enter(&room, &"late".into());
    until_present(&first, |list| late(list) == Some(2)).await;
    west.exit(&room, &"late".into(), Duration::ZERO);
    until_present(&first, |list| late(list) != Some(2)).await;
    // Each answer has all that was said before.
    let list = until_present(&first, |_| true).await;
    assert_eq!((late(&list), list.len()), (Some(1), USERS), "one connection is left");
    west.exit(&room, &"late".into(), Duration::ZERO);
    until_present(&first, |list| late(list).is_none()).await;
}

/// Asks the backplane until the list is as expected.
async fn until_present(backplane: &Backplane, expected: impl Fn(&[Member]) -> bool) -> Vec<Member> {
    // A list of so many takes longer than the pause: two minutes at most.
    for _ in 0..600 {
        let list = backplane.driver().present(&room(ROOM)).await.expect("the backplane is there");
        if expected(&list) {
            return list;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    panic!("never listed");
}

async fn enter(node: &Rooms, user: &str) -> Client<DuplexStream> {
    let (mut client, _) = connect_as(node, user, "a").await;
    client.send(&Request::subscribe(ROOM), None).await.expect("an open connection");
    while !matches!(next(&mut client).await, ServerFrame::Subscribed(_)) {}
    client
}

async fn news(client: &mut Client<DuplexStream>) -> (&'static str, String) {
    match next(client).await {
        ServerFrame::Joined(moved) => ("joined", moved.user_id),
        ServerFrame::Left(moved) => ("left", moved.user_id),
        other => panic!("no news of people: {other:?}"),
    }
}

/// Asks until the list is this one: what happened on a connection reaches the others a little later.
async fn until_listed(client: &mut Client<DuplexStream>, expected: &[(&str, u32)]) {
    for _ in 0..2_000 {
        client.send(&Request::presence(ROOM), None).await.expect("an open connection");
        let list = match next(client).await {
            ServerFrame::Presence(list) => list,
            other => panic!("a list is due, not {other:?}"),
        };
        let list: Vec<_> =
            list.members.iter().map(|member| (member.user_id.as_str(), member.connections)).collect();
        if list == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    panic!("never listed: {expected:?}");
}
