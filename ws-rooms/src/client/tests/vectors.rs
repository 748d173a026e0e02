//! `protocol/vectors`: what every client must do.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::script::play;
use crate::client::backoff::Backoff;
use crate::client::opening::{Verdict, judge};

fn vectors(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/vectors").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

async fn scripts(file: &str, least: usize) {
    let scripts = vectors(file);
    assert!(scripts.len() >= least);
    for script in scripts {
        println!("== {}", script["name"]);
        play(&script).await;
    }
}

#[tokio::test(start_paused = true)]
async fn positions() {
    scripts("positions.json", 22).await;
}

#[tokio::test(start_paused = true)]
async fn offline() {
    scripts("offline.json", 7).await;
}

fn millis(delay: Duration) -> Value {
    json!(u64::try_from(delay.as_millis()).unwrap())
}

#[test]
fn backoff() {
    for vector in vectors("backoff.json") {
        let mut backoff = Backoff::default();
        for loss in vector["losses"].as_array().unwrap() {
            let duration = |name: &str| loss.get(name).map(|ms| Duration::from_millis(ms.as_u64().unwrap()));
            let code = u16::try_from(loss["code"].as_u64().unwrap()).unwrap();
            let drawn = loss["drawn"].as_f64().unwrap();
            let delay = backoff.next(code, duration("openMs"), duration("retryAfterMs"), drawn);
            assert_eq!(delay.map_or(Value::Null, millis), loss["delayMs"], "{} {loss}", vector["name"]);
        }
    }
}

#[test]
fn opening() {
    for vector in vectors("opening.json") {
        let status = vector["status"].as_u64().map(|status| u16::try_from(status).unwrap());
        let retry_after = vector.get("retryAfter").map(|value| value.as_str().unwrap());
        let drawn = vector.get("drawn").map_or(0.5, |drawn| drawn.as_f64().unwrap());
        let verdict = judge(status, retry_after, vector["renewed"] == true, drawn);
        let (does, more) = match verdict {
            Verdict::Renew => ("renew", Value::Null),
            Verdict::Unauthenticated => ("stop", json!("unauthenticated")),
            Verdict::Forbidden => ("stop", json!("forbidden")),
            Verdict::Wait(delay) => ("wait", delay.map_or(Value::Null, millis)),
        };
        assert_eq!(does, vector["does"], "{vector}");
        let expected = vector.get("reason").or(vector.get("retryAfterMs"));
        assert_eq!(more, expected.cloned().unwrap_or_default(), "{vector}");
    }
}

proptest! {
    /// Whatever servers say: nobody comes back at once twice in a row, and nobody stays away for long.
    #[test]
    fn waits_have_bounds(
        losses in proptest::collection::vec(
            (any::<u16>(), proptest::option::of(0_u64..200_000), proptest::option::of(any::<u64>()), 0.0..1.0_f64),
            1..40,
        ),
    ) {
        let mut backoff = Backoff::default();
        for (code, open_for, retry_after, drawn) in losses {
            let before = backoff.attempt();
            let open_for = open_for.map(Duration::from_millis);
            let again = before > 0 && open_for.is_none_or(|open_for| open_for < Duration::from_secs(60));
            let wish = retry_after.map(Duration::from_millis);
            let Some(delay) = backoff.next(code, open_for, wish, drawn) else { continue };
            let least = if again { Duration::from_millis(500) } else { Duration::ZERO };
            prop_assert!((least..=Duration::from_secs(300)).contains(&delay), "{delay:?}");
            prop_assert!(wish.is_some() || delay <= Duration::from_secs(20), "{delay:?}");
            prop_assert_eq!(backoff.attempt(), if again { before + 1 } else { 1 });
        }
    }
}
