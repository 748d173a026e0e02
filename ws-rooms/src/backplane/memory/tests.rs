//! Tests of the logs: numbers, bounds, and what is forgotten.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::protocol::NotRecovered;
use crate::publication::Publication;

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

fn publication(id: &str, bytes: usize) -> Arc<Publication> {
    let event = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes));
    Arc::new(Publication::new(id, vec![room("a")], event).unwrap())
}

fn logs(change: impl FnOnce(&mut HistoryConfig)) -> Logs {
    let mut history = HistoryConfig::default();
    change(&mut history);
    let total = Arc::new(Total::new(1, history.total_bytes));
    Logs::new(Arc::new(history), total, 0)
}

fn all() -> RecoveryBounds {
    RecoveryBounds::new(usize::MAX, usize::MAX)
}

fn missed(logs: &mut Logs, name: &str, since: &Position) -> Option<usize> {
    let recovery = logs.recover(&room(name), Some(since), all());
    recovery.missed.unwrap().ok().map(|missed| missed.len())
}

fn backplane(change: impl FnOnce(&mut HistoryConfig)) -> MemoryBackplane {
    let mut history = HistoryConfig::default();
    change(&mut history);
    MemoryBackplane::new(history)
}

/// Appends to a room of a whole backplane; where it stands then.
fn append(backplane: &MemoryBackplane, name: &str, id: &str, bytes: usize) -> Position {
    let event = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes));
    let publication = Publication::new(id, vec![room(name)], event).unwrap();
    backplane.append(&Fanout::new(Arc::new(publication)));
    backplane.recover_now(&room(name), None, all()).position
}

fn start_of(position: &Position) -> Position {
    Position::new(Arc::clone(&position.epoch), 0)
}

fn missed_in(backplane: &MemoryBackplane, name: &str, since: &Position) -> Result<usize, NotRecovered> {
    let recovery = backplane.recover_now(&room(name), Some(since), all());
    recovery.missed.unwrap().map(|missed| missed.len())
}

/// The same total for one room as for all: only what is oldest goes, wherever it is.
#[tokio::test(start_paused = true)]
async fn the_oldest_of_all_rooms_goes_first() {
    let backplane = backplane(|history| history.total_bytes = 100_000);
    let mut starts = Vec::new();
    for n in 0..1_000 {
        let name = format!("r{n}");
        let last = append(&backplane, &name, "e", 1_000);
        starts.push((name, start_of(&last)));
        assert!(backplane.shared.total.bytes() <= 100_000);
        advance(Duration::from_millis(1)).await;
    }
    let kept: Vec<bool> =
        starts.iter().map(|(name, start)| missed_in(&backplane, name, start).is_ok()).collect();
    let first = kept.iter().position(|kept| *kept).unwrap();
    assert!((900..930).contains(&first), "some 85 events of 1,170 bytes fit, and these begin at {first}");
    assert!(kept[first..].iter().all(|kept| *kept), "a newer one went before an older one");
    let rooms: usize = (0..SHARDS).map(|index| backplane.shard(index).rooms()).sum();
    assert_eq!(rooms, 1_000 - first);
}

/// However names fall into shards, a room has what the documentation promises while the total allows it.
#[tokio::test(start_paused = true)]
async fn rooms_that_share_a_shard_do_not_trim_each_other() {
    let backplane = backplane(|_| {});
    let index = |name: &str| backplane.shared.hasher.hash_one(room(name)) % SHARDS as u64;
    let names: Vec<String> =
        (0..).map(|n| format!("r{n}")).filter(|name| index(name) == 0).take(20).collect();
    let mut starts = Vec::new();
    for n in 0..4 {
        for name in &names {
            let last = append(&backplane, name, &format!("e{n}"), 60_000);
            if n == 0 {
                starts.push(start_of(&last));
            }
        }
    }
    for (name, start) in names.iter().zip(&starts) {
        assert_eq!(missed_in(&backplane, name, start), Ok(4), "{name}");
    }
}

/// Nobody publishes, joins or asks: old events go all the same.
#[tokio::test(start_paused = true)]
async fn a_quiet_backplane_keeps_nothing_old() {
    let backplane = backplane(|_| {});
    for n in 0..100 {
        append(&backplane, &format!("r{n}"), "e", 1_000);
    }
    advance(Duration::from_secs(299)).await;
    Driver::tidy(&backplane);
    assert!(backplane.shared.total.bytes() > 100_000);
    advance(Duration::from_secs(1)).await;
    Driver::tidy(&backplane);
    assert_eq!(backplane.shared.total.bytes(), 0);
    assert_eq!((0..SHARDS).map(|index| backplane.shard(index).rooms()).sum::<usize>(), 0);
}

/// A broker delivers again what it has delivered, long after its body has had to go.
#[tokio::test(start_paused = true)]
async fn ids_outlive_events() {
    let mut logs = logs(|history| history.bytes = 10_000);
    let a = room("a");
    logs.join(&a);
    for n in 0..1_024 {
        assert!(logs.append(&a, &publication(&format!("e{n}"), 5_000)).is_some());
    }
    for n in [0, 1, 512, 1_023] {
        assert!(logs.append(&a, &publication(&format!("e{n}"), 5_000)).is_none(), "e{n} came again");
    }
    // Age takes the events and not the ids, and a lost place takes the numbers.
    advance(Duration::from_secs(600)).await;
    assert!(logs.append(&a, &publication("e7", 1)).is_none());
    logs.renumber();
    assert!(logs.append(&a, &publication("e7", 1)).is_none());
    assert_eq!(logs.append(&a, &publication("new", 1)).unwrap().offset, 1);
    // The bound: the oldest goes.
    assert_eq!(logs.ids(), 1_024);
    assert!(logs.append(&a, &publication("e0", 1)).is_some());
    assert!(logs.append(&a, &publication("e1", 1)).is_some());
    assert_eq!(logs.ids(), 1_024);
}

#[tokio::test(start_paused = true)]
async fn ids_count_once_without_a_history_too() {
    let mut logs = Logs::new(Arc::new(HistoryConfig::none()), Arc::new(Total::new(1, 0)), 0);
    let a = room("a");
    logs.join(&a);
    assert_eq!(logs.append(&a, &publication("e1", 1)).unwrap().offset, 1);
    assert!(logs.append(&a, &publication("e1", 1)).is_none());
    assert_eq!(logs.append(&a, &publication("e2", 1)).unwrap().offset, 2);
    logs.leave(&a);
    assert_eq!((logs.rooms(), logs.ids()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn ids_of_all_rooms_are_bounded() {
    let mut logs = logs(|history| history.count = 1);
    for n in 0..100 {
        logs.join(&room(&format!("r{n}")));
    }
    for id in 0..1_000 {
        for n in 0..100 {
            logs.append(&room(&format!("r{n}")), &publication(&id.to_string(), 1));
        }
        assert!(logs.ids() <= 32_768);
    }
    // Each room has kept its newest.
    for n in 0..100 {
        for id in 900..1_000 {
            assert!(logs.append(&room(&format!("r{n}")), &publication(&id.to_string(), 1)).is_none());
        }
    }
    for n in 0..100 {
        logs.leave(&room(&format!("r{n}")));
    }
    advance(Duration::from_secs(300)).await;
    logs.trim();
    assert_eq!((logs.rooms(), logs.ids(), logs.marks()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_does_not_fill_the_queue_of_ages() {
    let mut logs = logs(|history| history.count = 10);
    for n in 0..100_000 {
        logs.append(&room("a"), &publication(&n.to_string(), 1));
    }
    assert!(logs.marks() <= 2 * 10 + 65, "{} marks", logs.marks());
    assert_eq!(logs.rooms(), 1);
}

#[tokio::test(start_paused = true)]
async fn age_empties_everything() {
    let mut logs = logs(|_| {});
    for n in 0..100 {
        logs.append(&room(&format!("r{n}")), &publication("e", 10));
    }
    advance(Duration::from_secs(300)).await;
    logs.join(&room("other"));
    assert_eq!((logs.rooms(), logs.total.bytes(), logs.marks(), logs.ids()), (1, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn rooms_kept_for_their_number_alone_are_bounded() {
    let mut logs = logs(|_| {});
    for n in 0..5_000 {
        let room = room(&format!("r{n}"));
        logs.join(&room);
        logs.leave(&room);
    }
    assert!(logs.rooms() <= 1_024);
    // One with members is never forgotten.
    logs.join(&room("held"));
    for n in 0..5_000 {
        let room = room(&format!("s{n}"));
        logs.join(&room);
        logs.leave(&room);
    }
    advance(Duration::from_secs(600)).await;
    logs.join(&room("other"));
    assert_eq!(logs.rooms(), 2);
}

#[tokio::test(start_paused = true)]
async fn leaving_and_joining_again_keeps_the_number() {
    let mut logs = logs(|_| {});
    let a = room("a");
    logs.join(&a);
    let first = logs.append(&a, &publication("1", 1)).unwrap();
    for _ in 0..3 {
        logs.leave(&a);
        advance(Duration::from_secs(200)).await;
        logs.join(&a);
    }
    let second = logs.append(&a, &publication("2", 1)).unwrap();
    assert_eq!((&second.epoch, second.offset), (&first.epoch, 2));
    assert_eq!(missed(&mut logs, "a", &first), Some(1));
    let start = Position::new(Arc::clone(&first.epoch), 0);
    assert_eq!(missed(&mut logs, "a", &start), None, "the first is too old by now");
}

/// An event that cannot be passed on empties a room at once, and so does one that is larger than a room may keep: with
/// nobody in, nothing is left in the queue of ages that would ever forget the room.
#[tokio::test(start_paused = true)]
async fn a_room_emptied_before_its_time_is_forgotten_too() {
    let mut logs = logs(|history| history.bytes = 1_000);
    let (skipped, oversized) = (room("skipped"), room("oversized"));
    for n in 0..200 {
        // Enough of them that the marks of what the rooms have dropped are forgotten.
        logs.append(&skipped, &publication(&format!("a{n}"), 1));
        logs.append(&oversized, &publication(&format!("b{n}"), 5_000));
    }
    let before = logs.skip(&skipped, "gone").unwrap();
    assert_eq!((logs.rooms(), logs.total.bytes()), (2, 0));
    // The numbers are remembered for as long as an event would be.
    advance(Duration::from_secs(299)).await;
    assert_eq!(logs.recover(&skipped, None, all()).position, before);
    advance(Duration::from_secs(1)).await;
    logs.trim();
    assert_eq!((logs.rooms(), logs.ids(), logs.marks()), (0, 0, 0));
}
