//! Tests of the gate.

use super::*;
use crate::tier::Slot;

fn key(n: usize) -> Ending {
    Ending::Key(Slot { space: "k.1".into(), key: format!(":{n}").into() })
}

fn tag(n: usize) -> Ending {
    Ending::Mark(MarkName::from_wire(&format!("t:{n}")))
}

fn open() -> Gate {
    let gate = Gate::new(Duration::from_secs(2), 3);
    assert!(!gate.is_open() && gate.begin_probe(), "someone looks at once");
    assert!(gate.open(&[]) && gate.is_open());
    gate
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time_after_the_pause() {
    let gate = open();
    assert!(!gate.begin_probe());
    assert!(gate.shut() && !gate.shut());
    assert!(!gate.begin_probe(), "the pause is not over");
    tokio::time::advance(FIRST_PAUSE).await;
    assert!(gate.begin_probe() && !gate.begin_probe());
    gate.probe_failed();
    for _ in 0..40 {
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(gate.begin_probe(), "no pause is longer than its bound");
        gate.probe_failed();
    }
    assert!(gate.open(&[]) && gate.is_open());
}

#[tokio::test(start_paused = true)]
async fn one_that_opens_and_shuts_all_the_time_is_left_alone_for_longer() {
    let gate = open();
    for _ in 0..8 {
        assert!(gate.shut());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(gate.begin_probe() && gate.open(&[]));
    }
    assert!(gate.shut());
    tokio::time::advance(Duration::from_millis(900)).await;
    assert!(!gate.begin_probe(), "half of the longest pause at least");
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(gate.begin_probe() && gate.open(&[]));
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(gate.shut());
    tokio::time::advance(FIRST_PAUSE).await;
    assert!(gate.begin_probe(), "it was well for a while");
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_everything_was_told() {
    let gate = open();
    gate.remember(key(1));
    assert!(!gate.is_open());
    let told = gate.pending();
    gate.remember(key(2));
    assert!(!gate.open(&told), "one came while the others were told");
    assert!(gate.open(&gate.pending()));
    for n in 0..9 {
        gate.remember(key(n));
    }
    let cache = whole_cache(key(0));
    assert_eq!(cache, Ending::Mark(MarkName::of_cache("k.1")));
    let pending: HashSet<_> = gate.pending().into_iter().collect();
    assert!(pending.contains(&cache) && pending.len() <= 3, "{pending:?}");
    assert!(gate.open(&Vec::from_iter(pending)));
    for n in 0..9 {
        gate.remember(tag(n));
    }
    assert_eq!(gate.pending(), [Ending::All]);
    assert!(gate.open(&[Ending::All]));
}

/// So that there is an end to what is pending, however fast more comes.
#[tokio::test(start_paused = true)]
async fn endings_pass_while_it_opens() {
    let gate = open();
    assert!(gate.admits());
    gate.shut();
    gate.remember(key(1));
    assert!(!gate.admits(), "those before it are told first");
    tokio::time::advance(FIRST_PAUSE).await;
    assert!(gate.begin_probe());
    gate.admit();
    assert!(gate.admits() && !gate.is_open());
    gate.shut();
    assert!(!gate.admits(), "lost meanwhile");
    gate.admit();
    gate.probe_failed();
    assert!(!gate.admits());
    tokio::time::advance(FIRST_PAUSE * 2).await;
    assert!(gate.begin_probe() && !gate.admits());
    assert!(gate.open(&gate.pending()) && gate.admits());
}

/// Who reads after the first one was carried out has filled again what the second one is about.
#[tokio::test(start_paused = true)]
async fn what_ends_again_while_it_is_told_is_told_again() {
    let gate = open();
    gate.remember(key(1));
    let told = gate.pending();
    gate.remember(key(1));
    assert!(!gate.open(&told));
    assert_eq!(gate.pending(), [key(1)]);
    assert!(gate.open(&[key(1)]));

    // The same with everything, for everything and for one.
    for second in [Ending::All, key(1)] {
        gate.remember(Ending::All);
        let told = gate.pending();
        gate.remember(second.clone());
        assert!(!gate.open(&told), "{second:?}");
        assert_eq!(gate.pending(), std::slice::from_ref(&second));
        assert!(gate.open(&[second]));
    }

    // With what is told again, too.
    gate.told(Ending::All);
    gate.shut();
    let told = gate.pending();
    gate.remember(key(2));
    assert!(!gate.open(&told));
    assert!(gate.open(&gate.pending()));
}

/// What is on its way is neither lost nor doubled when it does not arrive.
#[tokio::test(start_paused = true)]
async fn what_was_not_told_is_pending_again() {
    let gate = open();
    gate.told(key(1));
    gate.shut();
    gate.remember(key(2));
    assert_eq!(gate.pending().len(), 2);
    let untold = gate.untold();
    assert_eq!((untold.endings, untold.doubtful), (1, 1), "on their way");
    gate.remember(key(2));
    gate.remember(key(3));
    gate.probe_failed();
    let untold = gate.untold();
    assert_eq!((untold.endings, untold.doubtful, untold.words()), (2, 1, 3));
    let pending: HashSet<_> = gate.pending().into_iter().collect();
    assert_eq!(pending, [key(1), key(2), key(3)].into());
    assert!(!gate.open(&[key(2), key(3)]));
    assert!(gate.open(&[key(1)]));
}

#[tokio::test(start_paused = true)]
async fn what_was_told_of_late_is_told_again() {
    let gate = open();
    gate.told(key(1));
    tokio::time::advance(LATE).await;
    gate.told(key(2));
    gate.told(key(2));
    gate.remember(key(3));
    assert_eq!(gate.pending(), [key(3)], "the connection is not lost");
    assert!(gate.open(&[key(3)]));
    gate.shut();
    // However long it takes.
    tokio::time::advance(LATE * 10).await;
    let pending: HashSet<_> = gate.pending().into_iter().collect();
    assert_eq!(pending, [key(2), key(3)].into());
    assert!(!gate.open(&[key(2)]));
    assert!(gate.open(&[key(3)]));
    gate.shut();
    assert!(gate.pending().is_empty(), "its time does not begin anew");
}

#[tokio::test(start_paused = true)]
async fn too_much_of_late_is_whole_caches_or_everything() {
    let gate = open();
    for n in 0..MAX_RECENT {
        gate.told(key(n));
    }
    gate.told(key(0));
    gate.shut();
    let pending: HashSet<_> = gate.pending().into_iter().collect();
    assert_eq!(pending, [whole_cache(key(0)), key(0)].into());
    assert!(gate.open(&Vec::from_iter(pending)));

    let gate = open();
    for n in 0..=MAX_RECENT {
        gate.told(tag(n));
    }
    gate.shut();
    assert_eq!(gate.pending(), [Ending::All]);
    assert!(gate.open(&[Ending::All]));

    // What was told last in a cache says for how long.
    let gate = open();
    gate.told(key(0));
    tokio::time::advance(LATE - Duration::from_secs(1)).await;
    for n in 1..=MAX_RECENT {
        gate.told(key(n));
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    gate.shut();
    assert!(gate.pending().contains(&whole_cache(key(0))));

    let gate = open();
    for n in 0..MAX_RECENT {
        gate.told(key(n));
    }
    gate.shut();
    assert_eq!(gate.pending().len(), MAX_RECENT, "more than may be pending, and no reason to end everything");
}

/// What was told long ago takes no room from what is told now.
#[tokio::test(start_paused = true)]
async fn much_that_was_told_long_ago_is_not_everything() {
    let gate = open();
    for n in 0..MAX_RECENT {
        gate.told(key(n));
    }
    tokio::time::advance(LATE).await;
    gate.told(key(1));
    gate.shut();
    assert_eq!(gate.pending(), [key(1)]);
}

#[tokio::test(start_paused = true)]
async fn it_stays_shut_for_what_became_doubtful_while_the_rest_was_told() {
    let gate = open();
    gate.remember(key(1));
    let told = gate.pending();
    gate.told(key(2));
    gate.shut();
    assert!(!gate.open(&told));
    assert_eq!(gate.pending(), [key(2)]);
    assert!(gate.open(&[key(2)]));
}

/// Everything, in the place of something new too, is as new as that.
#[tokio::test(start_paused = true)]
async fn everything_is_as_new_as_the_newest_in_it() {
    let gate = open();
    gate.told(Ending::All);
    tokio::time::advance(LATE - Duration::from_secs(1)).await;
    gate.shut();
    gate.remember(key(1));
    assert_eq!(gate.pending(), [Ending::All]);
    assert!(gate.open(&[Ending::All]));
    tokio::time::advance(Duration::from_secs(2)).await;
    gate.shut();
    assert_eq!(gate.pending(), [Ending::All], "told two seconds ago");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_has_lost_the_connection_too() {
    let gate = open();
    gate.told(key(1));
    gate.remember(key(2));
    assert!(gate.begin_probe());
    gate.probe_failed();
    let pending: HashSet<_> = gate.pending().into_iter().collect();
    assert_eq!(pending, [key(1), key(2)].into());
}
