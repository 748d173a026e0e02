//! Where credentials come from, and what becomes of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::world::{World, advance, good, settle};
use crate::auth::Credential;
use crate::client::connection::Refused;
use crate::client::{BoxError, SessionConfig, State, StopReason, Why};
use crate::error::ErrorKind;

const SECOND: Duration = Duration::from_secs(1);

type Answer = Result<Option<Credential>, BoxError>;

/// Answers one after another, some of them late, and remembers why it was asked.
#[derive(Clone, Default)]
struct Source {
    whys: Arc<Mutex<Vec<Why>>>,
    answers: Arc<Mutex<VecDeque<oneshot::Receiver<Answer>>>>,
}

// === impl Source ===

impl Source {
    fn will(&self, answer: Answer) {
        let (now, later) = oneshot::channel();
        now.send(answer).unwrap();
        self.answers.lock().unwrap().push_back(later);
    }

    fn will_later(&self) -> oneshot::Sender<Answer> {
        let (now, later) = oneshot::channel();
        self.answers.lock().unwrap().push_back(later);
        now
    }

    fn world(&self) -> World {
        let source = self.clone();
        World::with(SessionConfig::new("ws://test/ws"), move |why| {
            source.whys.lock().unwrap().push(why);
            let answer = source.answers.lock().unwrap().pop_front().expect("asked once too often");
            async move { answer.await.unwrap_or_else(|_| panic!("the source panics")) }
        })
    }

    fn whys(&self) -> Vec<Why> {
        std::mem::take(&mut *self.whys.lock().unwrap())
    }
}

fn bearer(token: &str) -> Answer {
    Ok(Some(Credential::Bearer(token.into())))
}

fn refused(status: u16, retry_after: Option<&str>) -> Refused {
    Refused { status, body: String::new(), retry_after: retry_after.map(str::to_owned) }
}

fn reason(state: &State) -> StopReason {
    match state {
        State::Stopped { reason, .. } => *reason,
        state => panic!("not stopped: {state:?}"),
    }
}

fn ends_soon() -> Value {
    json!({"type": "ping", "expiresAt": "2026-11-26T15:15:00Z"})
}

#[tokio::test(start_paused = true)]
async fn the_token_is_renewed_in_place() {
    let source = Source::default();
    source.will(bearer("first"));
    let world = source.world();
    let mut peer = world.welcomed(json!([])).await;
    assert_eq!(peer.credential, Credential::Bearer("first".into()));
    assert_eq!(source.whys(), [Why::Open]);
    source.will(bearer("second"));
    peer.send(ends_soon()).await;
    assert_eq!(source.whys(), [Why::Renew]);
    let auth = peer.next().await;
    assert_eq!(auth, json!({"type": "auth", "id": auth["id"], "token": "second"}));
    // Told twice before it is done: renewed once.
    peer.send(ends_soon()).await;
    let rooms = json!([{"room": "role:vendor", "epoch": "v", "offset": 9}]);
    let done = json!({"type": "authenticated", "id": auth["id"], "expiresAt": "2026-11-26T15:30:00Z", "rooms": rooms});
    peer.send(done).await;
    assert_eq!(world.session.place("role:vendor").unwrap().offset, 9);
    assert_eq!(source.whys(), []);
    // And once more before the next end.
    source.will(bearer("third"));
    peer.send(ends_soon()).await;
    assert_eq!(peer.next().await["token"], "third");
}

#[tokio::test(start_paused = true)]
async fn the_same_token_and_a_ticket_renew_nothing() {
    for again in [bearer("first"), Ok(Some(Credential::Ticket("t".into())))] {
        let source = Source::default();
        source.will(bearer("first"));
        let world = source.world();
        let mut peer = world.welcomed(json!([])).await;
        source.will(again);
        peer.send(ends_soon()).await;
        peer.send(ends_soon()).await;
        assert_eq!(peer.inbox().await, None);
        assert_eq!(source.whys(), [Why::Open, Why::Renew]);
        // The end comes, and asks for another.
        source.will(bearer("second"));
        peer.end(4201).await;
        let next = world.back().await;
        assert_eq!(next.credential, Credential::Bearer("second".into()));
        assert_eq!(source.whys(), [Why::Renew]);
    }
}

#[tokio::test(start_paused = true)]
async fn one_question_at_a_time() {
    let source = Source::default();
    source.will(bearer("first"));
    let world = source.world();
    let mut peer = world.welcomed(json!([])).await;
    let answer = source.will_later();
    peer.send(ends_soon()).await;
    assert_eq!(source.whys(), [Why::Open, Why::Renew]);
    // The link breaks while the source thinks; the next connection takes the same answer.
    peer.end(1006).await;
    advance(world.delay()).await;
    assert_eq!(source.whys(), [], "asked already");
    assert_eq!(world.attempts(), 0);
    answer.send(bearer("second")).unwrap();
    let next = world.peer().await;
    assert_eq!(next.credential, Credential::Bearer("second".into()));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_awaits_any_more_is_not_kept() {
    let source = Source::default();
    source.will(bearer("first"));
    let world = source.world();
    let mut peer = world.welcomed(json!([])).await;
    let answer = source.will_later();
    peer.send(ends_soon()).await;
    peer.send(json!({"type": "goodbye", "code": 4200, "reason": "drain", "retryAfterMs": 300_000})).await;
    answer.send(bearer("second")).unwrap();
    source.will(bearer("third"));
    let next = world.back().await;
    assert_eq!(next.credential, Credential::Bearer("third".into()));
    assert_eq!(source.whys(), [Why::Open, Why::Renew, Why::Open]);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_fails_is_asked_again() {
    let source = Source::default();
    source.will(Err("the service is away".into()));
    // Dropped: panics.
    drop(source.will_later());
    let silent = source.will_later();
    let world = source.world();
    settle().await;
    for _ in 0..2 {
        let State::Waiting { code: 1006, cause: Some(cause), delay, .. } = world.session.state() else {
            panic!("{:?}", world.session.state());
        };
        assert_eq!(cause.kind(), ErrorKind::Credential);
        advance(delay).await;
    }
    advance(30 * SECOND - Duration::from_millis(1)).await;
    assert!(matches!(world.session.state(), State::Opening { attempt: 2 }));
    source.will(bearer("good"));
    advance(Duration::from_millis(1)).await;
    let next = world.back().await;
    assert_eq!(next.credential, Credential::Bearer("good".into()));
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn who_is_signed_out_is_not_connected() {
    let source = Source::default();
    source.will(Ok(None));
    let world = source.world();
    settle().await;
    assert_eq!(reason(&world.session.state()), StopReason::SignedOut);
    let source = Source::default();
    source.will(bearer("first"));
    let world = source.world();
    let mut peer = world.welcomed(json!([])).await;
    source.will(Ok(None));
    peer.send(ends_soon()).await;
    assert!(peer.next().await["closes"].is_string());
    drop(peer);
    settle().await;
    assert_eq!(reason(&world.session.state()), StopReason::SignedOut);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_for_now_is_tried_again_and_one_that_fails_for_good_ends_it() {
    for (code, expected) in [
        ("TOKEN_REVOKED", StopReason::Revoked),
        ("FORBIDDEN", StopReason::Forbidden),
        ("UNAUTHENTICATED", StopReason::Unauthenticated),
    ] {
        let source = Source::default();
        source.will(bearer("first"));
        let world = source.world();
        let mut peer = world.welcomed(json!([])).await;
        source.will(Err("away".into()));
        peer.send(ends_soon()).await;
        assert_eq!(source.whys(), [Why::Open, Why::Renew]);
        source.will(bearer("second"));
        advance(2 * SECOND).await;
        let auth = peer.next().await;
        // The server cannot tell: the same token again. It has ended meanwhile: another.
        let error = |auth: &Value, code: &str, retry: bool| json!({"type": "error", "id": auth["id"], "code": code, "message": "", "retry": retry});
        peer.send(error(&auth, "UNAVAILABLE", true)).await;
        assert_eq!(peer.inbox().await, None);
        advance(2 * SECOND).await;
        let auth = peer.next().await;
        assert_eq!(auth["token"], "second");
        peer.send(error(&auth, "TOKEN_EXPIRED", false)).await;
        source.will(bearer("third"));
        advance(2 * SECOND).await;
        let auth = peer.next().await;
        assert_eq!(auth["token"], "third");
        peer.send(error(&auth, code, false)).await;
        assert!(peer.next().await["closes"].is_string(), "{code}");
        drop(peer);
        settle().await;
        assert_eq!(reason(&world.session.state()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_upgrade_says_what_to_do() {
    // 401: another token, at once, and only once.
    let source = Source::default();
    source.will(bearer("old"));
    source.will(bearer("new"));
    let world = source.world();
    world.refusals.lock().unwrap().push_back(refused(401, None));
    let peer = world.peer().await;
    assert_eq!(peer.credential, Credential::Bearer("new".into()));
    assert_eq!(source.whys(), [Why::Open, Why::Renew]);

    let source = Source::default();
    source.will(bearer("old"));
    source.will(bearer("new"));
    let world = source.world();
    world.refusals.lock().unwrap().extend([refused(401, None), refused(401, None)]);
    settle().await;
    assert_eq!(reason(&world.session.state()), StopReason::Unauthenticated);

    let world = World::with(SessionConfig::new("ws://test/ws"), good);
    world.refusals.lock().unwrap().push_back(refused(403, None));
    settle().await;
    assert_eq!(reason(&world.session.state()), StopReason::Forbidden);

    let world = World::with(SessionConfig::new("ws://test/ws"), good);
    world.refusals.lock().unwrap().extend([refused(503, Some("7")), refused(500, None)]);
    settle().await;
    assert_eq!(world.delay(), Duration::from_millis(7_500));
    let State::Waiting { cause: Some(cause), .. } = world.session.state() else { panic!() };
    assert_eq!(cause.kind(), ErrorKind::Refused);
    advance(world.delay()).await;
    assert_eq!(world.delay(), Duration::from_millis(1_250), "the second failure in a row");
    let _peer = world.back().await;
}
