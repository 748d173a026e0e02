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
    let memory = Memory::new("3/hour".parse().unwrap(), 320);
    assert_eq!(memory.take("busy"), Bucket::Left(2));
    assert_eq!(memory.take("busy"), Bucket::Left(1));
    assert_eq!(memory.take("busy"), Bucket::Left(0));
    for n in 0..10_000 {
        assert_eq!(memory.take(&n.to_string()), Bucket::Left(2), "a new key");
        assert!(matches!(memory.take("busy"), Bucket::Empty(_)), "forgotten after {n}");
    }
    assert!(entries(memory) <= 320);
}
