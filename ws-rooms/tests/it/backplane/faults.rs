//! The way to Redis breaks, and Redis stays what it is.

use std::time::Duration;

use devkit::Fault;
use serde_json::json;
use tramline_ws_rooms::backplane::RedisConfig;
use tramline_ws_rooms::{Backplane, Credential, ErrorKind, GapReason, Rooms};

use super::{expect_events, node_on, raw, ready_on, settings, until};
use crate::support::{Gatekeeper, Peer, config, peer, publication, publish};

/// Two nodes on one Redis: the first behind a way that breaks.
async fn pair() -> Option<(Fault, Rooms, Rooms, Backplane)> {
    let url = devkit::engines::redis().await?;
    let near = settings(url);
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut far = behind_of(&near, through);
    far.patience = Duration::from_secs(2);
    let backplane = Backplane::redis(far).unwrap();
    let behind = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
    Some((fault, behind, node_on(&near), backplane))
}

fn behind_of(near: &RedisConfig, url: String) -> RedisConfig {
    let mut far = near.clone();
    far.url = url;
    far
}

/// The subscription is lost for a while: what was said meanwhile is read from the streams, and nobody hears of a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_subscription_is_filled() {
    let Some((fault, behind, beside, backplane)) = pair().await else { return };
    let mut ada = Peer::connect(&behind, "ada/customer/s1").await;
    publish(&beside, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    fault.cut();
    until(|| !backplane.is_up()).await;
    for id in ["e2", "e3", "e4"] {
        publish(&beside, &["broadcast"], id).await;
    }
    fault.heal();
    expect_events(&mut ada, 1, &["e2", "e3", "e4"]).await;
    publish(&beside, &["broadcast"], "e5").await;
    expect_events(&mut ada, 4, &["e5"]).await;
    ada.quiet().await;
}

/// More was missed than the history keeps: a gap says so, and what follows goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_filled_is_a_gap() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut near = settings(url);
    near.history.count = 2;
    let far = behind_of(&near, through);
    let (behind, beside) = (node_on(&far), node_on(&near));
    let mut ada = Peer::connect(&behind, "ada/customer/s1").await;
    fault.cut();
    for id in ["e1", "e2", "e3"] {
        publish(&beside, &["broadcast"], id).await;
    }
    fault.heal();
    let gap = ada.expect("gap").await;
    let epoch = ada.place("broadcast")["epoch"].clone();
    let told = json!({"type": "gap", "room": "broadcast", "epoch": epoch, "offset": 3, "reason": "trimmed"});
    assert_eq!(gap, told);
    publish(&beside, &["broadcast"], "e4").await;
    expect_events(&mut ada, 3, &["e4"]).await;
}

/// As when a cable is pulled: nothing says that the connection is gone but its silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_found_and_made_anew() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let near = settings(url);
    let mut far = behind_of(&near, through);
    far.patience = Duration::from_secs(2);
    let ((behind, backplane), beside) = (ready_on(&far).await, node_on(&near));
    let mut ada = Peer::connect(&behind, "ada/customer/s1").await;
    fault.half_open();
    publish(&beside, &["broadcast"], "e1").await;
    until(|| !backplane.is_up()).await;
    fault.heal();
    expect_events(&mut ada, 0, &["e1"]).await;
    ada.quiet().await;
}

/// Redis is away for longer than people wait: publishers and those who want in hear of it, members hear nothing, and
/// the same event counts once when it is published again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut settings = settings(&through);
    settings.patience = Duration::from_secs(2);
    let (rooms, backplane) = ready_on(&settings).await;
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    fault.cut();
    let error = rooms.publish(publication(&["broadcast"], "e1")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Backplane, true));
    let answer = ada.ask(json!({"type": "subscribe", "id": "1", "room": "payment:1"})).await;
    assert_eq!((&answer["code"], &answer["retry"]), (&json!("UNAVAILABLE"), &json!(true)));
    let since = ada.place("broadcast");
    let answer = ada.ask(json!({"type": "subscribe", "id": "2", "room": "broadcast", "since": since})).await;
    assert_eq!(answer["code"], "UNAVAILABLE");
    until(|| !backplane.is_up()).await;
    let refusal = rooms.admit(Credential::Bearer("bob/customer/s2".into()), peer()).await.unwrap_err();
    assert_eq!(refusal.status, 503);
    let again = refusal.retry_after.expect("a time to come back");
    assert!((1..=5).contains(&again.as_secs()), "{again:?}");
    fault.heal();
    until(|| backplane.is_up()).await;
    while rooms.publish(publication(&["broadcast"], "e1")).await.is_err() {}
    publish(&rooms, &["broadcast"], "e2").await;
    expect_events(&mut ada, 0, &["e1", "e2"]).await;
    let answer = ada.ask(json!({"type": "subscribe", "id": "3", "room": "payment:1"})).await;
    assert_eq!(answer["type"], "subscribed");
}

/// An event is appended, and the connection breaks before anybody is told so: it is asked for again under the same id,
/// and doubles nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_doubles_nothing() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let near = settings(url);
    let backplane = Backplane::redis(behind_of(&near, through)).unwrap();
    let behind = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
    let beside = node_on(&near);
    let mut ada = Peer::connect(&beside, "ada/customer/s1").await;
    until(|| backplane.is_up()).await;
    for number in 0..5 {
        let (id, skipped) = (format!("e{number}"), format!("s{number}"));
        fault.hold_answers();
        let publishing = tokio::spawn({
            let (behind, id, skipped) = (behind.clone(), id.clone(), skipped.clone());
            async move {
                behind.publish(publication(&["broadcast"], &id)).await?;
                behind.skip(&skipped, &[crate::support::room("broadcast")], GapReason::Source).await
            }
        });
        // Told beside, so it has been appended.
        expect_events(&mut ada, 2 * number, &[&id]).await;
        assert!(!publishing.is_finished(), "nobody was told so");
        fault.cut_once();
        fault.heal();
        publishing.await.unwrap().unwrap();
        assert_eq!(ada.expect("gap").await["offset"], json!(2 * number + 2), "one number for the event");
    }
    ada.quiet().await;
}

/// Somebody flushed the scripts of the server: they are loaded again, by whoever misses them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_are_gone_are_loaded_again() {
    // A server of the test's own: others would load them too.
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = devkit::Redis::start().await.unwrap();
    let rooms = node_on(&settings(&server.url()));
    let mut redis = raw(&server.url()).await;
    let mut flush = async || redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut redis).await.unwrap();
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    for round in 0..3 {
        flush().await;
        publish(&rooms, &["broadcast"], &format!("e{round}")).await;
        expect_events(&mut ada, round, &[&format!("e{round}")]).await;
    }
    // From here on only the reader asks. Its connections are made anew, and nobody's question is lost with the old ones.
    flush().await;
    let since = ada.place("broadcast");
    let answer = ada.ask(json!({"type": "subscribe", "room": "broadcast", "since": since})).await;
    assert_eq!(answer["events"].as_array().map(Vec::len), Some(3), "{answer}");
    flush().await;
    let answer = ada.ask(json!({"type": "subscribe", "room": "payment:1"})).await;
    assert_eq!(answer["type"], "subscribed", "{answer}");
}

/// A connection breaks with recoveries on their way: they are asked for again on the next one, within their time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_outlives_its_connection() {
    let Some(url) = devkit::engines::redis().await else { return };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let near = settings(url);
    let behind = node_on(&behind_of(&near, through));
    let mut ada = Peer::connect(&behind, "ada/customer/s1").await;
    let since = ada.place("broadcast");
    publish(&node_on(&near), &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    for _ in 0..3 {
        // It is sent, and never answered.
        fault.half_open();
        ada.send(json!({"type": "subscribe", "room": "broadcast", "since": since})).await;
        crate::support::settle().await;
        fault.cut_once();
        fault.heal();
        let answer = ada.next().await;
        assert_eq!(answer["events"].as_array().map(Vec::len), Some(1), "{answer}");
    }
}

/// Redis keeps an event and never says it, as a server before Redis 7 does without a right to the channel: the next
/// number tells of the hole, which is read and not followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_in_the_numbers_is_read() {
    let Some(url) = devkit::engines::redis().await else { return };
    let settings = settings(url);
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let mut redis = raw(url).await;
    let key = |end: &str| format!("{}{{broadcast}}{end}", settings.prefix);
    publish(&rooms, &["broadcast"], "e1").await;
    expect_events(&mut ada, 0, &["e1"]).await;
    for (unsaid, said, offset) in [("e2", "e3", 2), ("e4", "e5", 4)] {
        // What the script does, but for its last line.
        let event = publication(&["broadcast"], unsaid).event().to_owned();
        let now = jiff::Timestamp::now().as_millisecond();
        let body = format!("{} broadcast\n{unsaid}{event}", unsaid.len());
        let mut add = redis::cmd("XADD");
        add.arg(key("s")).arg(format!("{offset}-0")).arg("t").arg(now).arg("p").arg(body);
        add.exec_async(&mut redis).await.unwrap();
        redis::cmd("HSET").arg(key("m")).arg("o").arg(offset).exec_async(&mut redis).await.unwrap();
        publish(&rooms, &["broadcast"], said).await;
        expect_events(&mut ada, offset - 1, &[unsaid, said]).await;
    }
    ada.quiet().await;
}
