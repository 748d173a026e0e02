//! The order in which a store takes up what it hears.

use std::sync::mpsc;

use super::*;
use crate::stats::Stats;
use crate::tier::Heard;

/// Tells how the store stands whenever everything ended.
struct Watch {
    store: Weak<Shared>,
    seen: mpsc::Sender<(bool, Option<u64>, Mark)>,
}

impl Member for Watch {
    fn ended(&self, _: &str) {}

    fn ended_all(&self, _: Option<(Mark, u64)>) {
        let store = self.store.upgrade().unwrap();
        self.seen.send((store.is_attached(), store.attachment(), store.heard())).unwrap();
    }

    fn count_ended(&self) {}

    fn filled(&self, _: &str) {}

    fn publish(&self) {}

    fn stats(&self) -> CacheStats {
        CacheStats { name: String::new(), version: 1, stats: Stats::default() }
    }
}

/// Others read while this one hears: nothing may be trusted before all that is old has ended.
#[tokio::test]
async fn memory_is_forgotten_before_anything_is_trusted() {
    let Store(store) = Store::twin(&crate::tier::twin::Twin::new(), StoreConfig::default());
    let (seen, told) = mpsc::channel();
    let watch: Arc<dyn Member> = Arc::new(Watch { store: Arc::downgrade(&store), seen });
    store.members().insert("watch.1".into(), Arc::downgrade(&watch));
    let mark = |number| Mark { incarnation: 1, number };

    store.hear(Heard::Attached(mark(7)));
    assert_eq!(told.try_recv().unwrap(), (false, None, mark(7)));
    let first = store.attachment().unwrap();
    // What a load reads from here on is of another attachment, and nothing of the first is known in it.
    store.hear(Heard::Ended { ending: Ending::All, mark: mark(8), own: false });
    assert_eq!(told.try_recv().unwrap(), (true, Some(first + 1), mark(8)));

    store.hear(Heard::Detached);
    assert_eq!((store.attachment(), told.try_recv().is_err()), (None, true));
    store.hear(Heard::Attached(mark(9)));
    assert_eq!(told.try_recv().unwrap(), (false, None, mark(9)));
    assert_eq!(store.attachment(), Some(first + 2));
}

/// By the clock alone: who would have to say so may stand still.
#[tokio::test]
async fn what_was_heard_is_believed_for_so_long() {
    let clock = crate::Clock::manual();
    let detached_age = Duration::from_secs(5);
    let config = StoreConfig { detached_age, clock: clock.clone(), ..StoreConfig::default() };
    clock.advance(Duration::from_secs(1_000));
    let Store(store) = Store::twin(&crate::tier::twin::Twin::new(), config);
    let mark = Mark { incarnation: 1, number: 7 };
    // An entry as old as the clock.
    let believed = || (store.is_heard_or_young(0, store.now()), store.attachment().is_some());

    store.hear(Heard::Attached(mark));
    assert_eq!(believed(), (false, false), "up to when, nobody has said");
    store.hear(Heard::Whole(999_000));
    assert_eq!(believed(), (true, true));
    store.hear(Heard::Whole(998_000));
    clock.advance(Duration::from_millis(1_999));
    assert_eq!(believed(), (true, true), "it is not taken back");
    clock.advance(Duration::from_millis(1));
    assert_eq!(believed(), (true, false), "three seconds");
    clock.advance(Duration::from_millis(4_999));
    assert_eq!(believed(), (true, false));
    clock.advance(Duration::from_millis(1));
    assert_eq!(believed(), (false, false), "and five");
    assert!(store.is_heard_or_young(1_002_001, store.now()), "what is younger than five by itself");
    assert!(!store.is_heard_or_young(1_002_000, store.now()));

    store.hear(Heard::Whole(1_006_000));
    assert_eq!(believed(), (true, true));
    store.hear(Heard::Detached);
    clock.advance(Duration::from_millis(3_999));
    assert_eq!(believed(), (true, false), "five from the last that was heard");
    clock.advance(Duration::from_millis(1));
    assert_eq!(believed(), (false, false));
}
