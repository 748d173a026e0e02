//! Sessions that outlive their connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use devkit::Fault;
use tokio::sync::mpsc;
use tramline_ws_rooms::client::{
    GapCause, Session, SessionConfig, State, StopReason, Subscription, TokenSource, Update, Why,
};
use tramline_ws_rooms::{Close, Credential, ErrorKind, RoomsConfig, Target};

use super::server::Server;
use crate::support::{config, node, node_with, publish};

/// The same token each time.
fn fixed(token: &'static str) -> impl TokenSource {
    move |_: Why| async move { Ok(Some(Credential::Bearer(token.into()))) }
}

fn session(url: &str) -> Session {
    Session::open(SessionConfig::new(url), fixed("ada/customer/s1")).unwrap()
}

/// The first state that fits.
async fn until<T>(session: &Session, fits: impl Fn(&State) -> Option<T>) -> T {
    let mut states = session.states();
    while let Some(state) = states.next().await {
        if let Some(found) = fits(&state) {
            return found;
        }
    }
    panic!("it stopped: {:?}", session.state());
}

async fn open(session: &Session) {
    until(session, |state| matches!(state, State::Open { .. }).then_some(())).await;
}

async fn stopped(session: &Session) -> (StopReason, Option<u16>) {
    let stop = |state: &State| match state {
        State::Stopped { reason, code } => Some((*reason, *code)),
        _ => None,
    };
    until(session, stop).await
}

async fn live(subscription: &mut Subscription) -> u64 {
    match subscription.next().await {
        Some(Update::Live { place, .. }) => place.offset,
        other => panic!("not live: {other:?}"),
    }
}

async fn event(subscription: &mut Subscription) -> (u64, String) {
    match subscription.next().await {
        Some(Update::Event { offset, event, .. }) => (offset, event["id"].as_str().unwrap().to_owned()),
        other => panic!("no event: {other:?}"),
    }
}

/// The process goes and comes back on the same port with the same rooms, as behind a balancer; then with none of them.
#[tokio::test]
async fn a_server_that_is_restarted_loses_nothing_or_says_so() {
    let rooms = node();
    let server = Server::start(rooms.clone()).await;
    let port = server.addr.port();
    let session = session(&server.url());
    let mut payment = session.subscribe("payment:1").unwrap();
    // One of the server's, listened to before there is a connection.
    let mut user = session.subscribe("user:ada").unwrap();
    assert_eq!((live(&mut payment).await, live(&mut user).await), (0, 0));
    publish(&rooms, &["user:ada", "payment:1"], "e1").await;
    assert_eq!(event(&mut payment).await, (1, "e1".into()));
    assert_eq!(event(&mut user).await, (1, "e1".into()));

    server.stop().await;
    rooms.close(&Target::User("ada".into()), &Close::POSITION_LOST);
    until(&session, |state| matches!(state, State::Waiting { .. }).then_some(())).await;
    publish(&rooms, &["payment:1"], "e2").await;
    publish(&rooms, &["user:ada", "payment:1"], "e3").await;
    let server = Server::start_at(rooms, port).await;
    assert_eq!(event(&mut payment).await, (2, "e2".into()));
    assert_eq!(event(&mut payment).await, (3, "e3".into()));
    assert_eq!(live(&mut payment).await, 3);
    assert_eq!(event(&mut user).await, (2, "e3".into()));
    assert_eq!(live(&mut user).await, 2);

    let rooms = server.rooms.clone();
    server.stop().await;
    rooms.close(&Target::User("ada".into()), &Close::POSITION_LOST);
    let server = Server::start_at(node(), port).await;
    for subscription in [&mut payment, &mut user] {
        let gap = subscription.next().await;
        assert!(matches!(gap, Some(Update::Gap { cause: GapCause::Epoch, .. })), "{gap:?}");
        assert_eq!(live(subscription).await, 0);
    }
    publish(&server.rooms, &["payment:1"], "f1").await;
    assert_eq!(event(&mut payment).await, (1, "f1".into()));
    session.close().await;
    assert_eq!(stopped(&session).await, (StopReason::Closed, None));
}

#[tokio::test]
async fn a_token_that_ends_is_renewed_in_place_or_the_connection_is_opened_anew() {
    // The notice comes with the next sweep; the token itself lives on.
    let mut quick = config();
    quick.heartbeat.expiry_notice = Duration::from_secs(1_000);
    quick.heartbeat.sweep_every = Duration::from_millis(10);
    // No notice at all: the token ends, 4201.
    let mut late = config();
    late.heartbeat.expiry_notice = Duration::ZERO;
    late.heartbeat.sweep_every = Duration::from_millis(10);
    for (config, first, in_place) in
        [(quick, "ada/customer/s1/900", true), (late, "ada/customer/s1/5", false)]
    {
        let server = Server::start(node_with(config)).await;
        let (asked, mut whys) = mpsc::channel(8);
        let tokens = move |why: Why| {
            let token = if why == Why::Open { first } else { "ada/admin/s1/3600" };
            let asked = asked.clone();
            async move {
                asked.send(why).await?;
                Ok(Some(Credential::Bearer(token.into())))
            }
        };
        let session = Session::open(SessionConfig::new(server.url()), tokens).unwrap();
        assert_eq!(whys.recv().await, Some(Why::Open));
        let connection = until(&session, |state| match state {
            State::Open { connection_id, .. } => Some(connection_id.clone()),
            _ => None,
        })
        .await;
        let mut all = session.subscribe_all();
        assert_eq!(whys.recv().await, Some(Why::Renew));
        // The new token's role has a room of its own.
        while !matches!(all.next().await.unwrap(), Update::Live { room, .. } if room.as_str() == "role:admin")
        {
        }
        publish(&server.rooms, &["role:admin"], "e1").await;
        while !matches!(all.next().await.unwrap(), Update::Event { event, .. } if event["id"] == "e1") {}
        assert_eq!(server.rooms.stats().connections, 1);
        let State::Open { connection_id, .. } = session.state() else { panic!("{:?}", session.state()) };
        assert_eq!(connection_id == connection, in_place);
        session.close().await;
    }
}

#[tokio::test]
async fn a_revoked_session_stays_away() {
    let server = Server::start(node()).await;
    let session = session(&server.url());
    let mut broadcast = session.subscribe("broadcast").unwrap();
    live(&mut broadcast).await;
    server.rooms.close(&Target::Session("s1".into()), &Close::SESSION_REVOKED);
    assert_eq!(stopped(&session).await, (StopReason::Revoked, Some(4009)));
    assert!(matches!(broadcast.next().await, Some(Update::Ended { .. })));
    assert_eq!(broadcast.next().await, None);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why() {
    let server = Server::start(node()).await;
    // No token of these rooms: another one is asked for, once.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let tokens = {
        let asked = asked.clone();
        move |why: Why| {
            asked.lock().unwrap().push(why);
            async { Ok(Some(Credential::Bearer("nobody".into()))) }
        }
    };
    let session = Session::open(SessionConfig::new(server.url()), tokens).unwrap();
    assert_eq!(stopped(&session).await, (StopReason::Unauthenticated, None));
    assert_eq!(*asked.lock().unwrap(), [Why::Open, Why::Renew]);
    // An origin that is not on the list.
    let mut config = SessionConfig::new(server.url());
    config.origin = Some("http://elsewhere".into());
    let session = Session::open(config, fixed("ada/customer/s1")).unwrap();
    assert_eq!(stopped(&session).await, (StopReason::Forbidden, None));
    // A token that no header can carry.
    let session = Session::open(SessionConfig::new(server.url()), fixed("line\nbreak")).unwrap();
    assert_eq!(stopped(&session).await, (StopReason::Protocol, None));
    // What is no URL of rooms is told at once.
    for url in ["", "rooms", "ftp://127.0.0.1/ws", "/ws", "ws:///ws"] {
        let error = Session::open(SessionConfig::new(url), fixed("ada/customer/s1")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{url}");
    }
}

#[tokio::test]
async fn tickets_open_connections_and_http_is_read_as_ws() {
    let server = Server::start(node()).await;
    let url = format!("http://{}/ws?a=b#fragment", server.addr);
    let tokens = |_: Why| async { Ok(Some(Credential::Ticket("ada:lovelace".into()))) };
    let session = Session::open(SessionConfig::new(url), tokens).unwrap();
    let user = until(&session, |state| match state {
        State::Open { user_id, .. } => Some(user_id.clone()),
        _ => None,
    });
    // The colon was written as %3A.
    assert_eq!(&*user.await, "ada:lovelace");
}

/// Who does not take what comes misses the oldest of it, is told so, and keeps nobody else waiting.
#[tokio::test]
async fn a_slow_subscription_hears_of_its_gap() {
    let server = Server::start(node()).await;
    let mut config = SessionConfig::new(server.url());
    config.queued_updates = 8.try_into().unwrap();
    let session = Session::open(config, fixed("ada/customer/s1")).unwrap();
    let mut slow = session.subscribe("broadcast").unwrap();
    let mut marks = session.subscribe("user:ada").unwrap();
    live(&mut slow).await;
    live(&mut marks).await;
    for n in 1..=100 {
        publish(&server.rooms, &["broadcast"], &format!("e{n}")).await;
    }
    publish(&server.rooms, &["user:ada"], "mark").await;
    // Whatever comes in another room came later.
    assert_eq!(event(&mut marks).await, (1, "mark".into()));
    let gap = slow.next().await;
    assert!(matches!(gap, Some(Update::Gap { cause: GapCause::Behind, .. })), "{gap:?}");
    for n in 93..=100 {
        assert_eq!(event(&mut slow).await, (n, format!("e{n}")));
    }
}

#[tokio::test]
async fn questions_wait_for_a_connection_until_their_deadline() {
    let server = Server::start(node()).await;
    let port = server.addr.port();
    server.stop().await;
    let session = session(&format!("ws://127.0.0.1:{port}/ws"));
    let late = session.presence_within("payment:1", Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    let _payment = session.subscribe("payment:1").unwrap();
    let (members, server) = tokio::join!(session.presence("payment:1"), Server::start_at(node(), port));
    let there = members.unwrap();
    let ada = &there.members[0];
    assert_eq!((there.members.len(), ada.user_id.as_str(), ada.connections, there.total), (1, "ada", 1, 1));
    // Of a room that one is not in, the server says no.
    let error = session.presence("payment:2").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    drop(server);
}

/// A cable is pulled: nothing is closed, nothing comes. Ten seconds beyond the server's rhythm the session gives the
/// link up, and recovers through the next one.
#[tokio::test]
async fn a_half_open_link_is_found_and_nothing_is_lost() {
    let mut config: RoomsConfig = config();
    // Announced as 0: the client waits for its own ten seconds only.
    config.heartbeat.frame_after = Duration::from_millis(900);
    let server = Server::start(node_with(config)).await;
    let fault = Fault::new(server.addr).await.unwrap();
    let session = session(&fault.url(&server.url()));
    let mut broadcast = session.subscribe("broadcast").unwrap();
    live(&mut broadcast).await;
    fault.half_open();
    publish(&server.rooms, &["broadcast"], "e1").await;
    let cause = until(&session, |state| match state {
        State::Waiting { code: 1006, cause, .. } => Some(cause.clone()),
        _ => None,
    })
    .await;
    assert_eq!(cause.unwrap().kind(), ErrorKind::Connect);
    // Back to what it is like with a cable; what had been on its way in the dead link does not come twice.
    fault.heal();
    assert_eq!(event(&mut broadcast).await, (1, "e1".into()));
    assert_eq!(live(&mut broadcast).await, 1);
    open(&session).await;
    session.close().await;
}
