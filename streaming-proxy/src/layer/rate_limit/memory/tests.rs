//! Tests of [`Memory`].

use super::*;

fn entries(memory: Memory) -> usize {
    let store = memory.limiter.into_state_store();
    store
        .shards
        .into_iter()
        .map(Mutex::into_inner)
        .map(Result::unwrap)
        .map(|s| s.young.len() + s.old.len())
        .sum()
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_keys_is_forgotten_and_a_busy_key_is_not() {
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    // What the gauge has moved by: a snapshot sets it back.
    let told = || match snapshotter.snapshot().into_vec().as_slice() {
        [(_, _, _, metrics_util::debugging::DebugValue::Gauge(keys))] => keys.into_inner(),
        other => panic!("{other:?}"),
    };
    let gauge = metrics::with_local_recorder(&recorder, || metrics::gauge!("keys"));
    let memory = Memory::new("3/hour".parse().unwrap(), 320, gauge);
    assert_eq!(memory.take("busy"), Bucket::Left(2));
    assert_eq!(memory.take("busy"), Bucket::Left(1));
    assert_eq!(memory.take("busy"), Bucket::Left(0));
    for n in 0..10_000 {
        assert_eq!(memory.take(&n.to_string()), Bucket::Left(2), "a new key");
        assert!(matches!(memory.take("busy"), Bucket::Empty(_)), "forgotten after {n}");
    }
    let keys = told();
    assert!(keys <= 320.0 && keys > 160.0, "{keys}");
    assert_eq!(f64::from(u32::try_from(entries(memory)).unwrap()), keys);
    assert_eq!(told(), -keys, "nothing is left of a limiter that is gone");
}
