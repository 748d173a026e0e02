//! Nodes that are cut off.

use std::sync::Arc;

use super::*;
use crate::envelope::Token;
use crate::tier::suite::{Ear, LONG, filled, name, payload, slot, value};
use crate::tier::{Ending, Filled, Found, Heard, Taken, Tier};

fn nodes() -> (Twin, Arc<Tier>, Arc<Tier>) {
    let twin = Twin::new();
    let node = || Arc::new(Tier::Twin(Arc::new(twin.node())));
    (twin.clone(), node(), node())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_gets_nothing_and_its_word_is_kept() {
    let (twin, a, b) = nodes();
    let (slot, put) = (slot(), slot());
    filled(&a, &slot, "old").await;
    filled(&a, &put, "old").await;
    let before = a.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&b).await;
    let (mut other, _) = Ear::on(&a).await;
    twin.cut(1);
    assert!(matches!(ear.next().await, Heard::Detached));
    let token = Token::draw();
    assert!(matches!(b.read(&slot).await, Found::Away));
    assert!(matches!(b.read_or_lease(&slot, token, LONG).await, Found::Away));
    assert!(b.read_or_lease_many(std::slice::from_ref(&slot), token, LONG).await.is_none());
    assert!(b.marks(&[name("x")], LONG).await.is_none());
    assert_eq!(b.take(&slot, token, token, LONG, true).await, Taken::Away);
    assert_eq!(b.fill(&slot, token, value("x").1, LONG).await, Filled::Away);
    assert_eq!(b.fill_many(vec![(slot.clone(), value("x").1, LONG)], token).await, [Filled::Away]);
    assert!(!b.put(&put, value("newer").1, LONG).await);
    b.end(&Ending::Key(slot.clone())).await;
    b.end(&Ending::Mark(name("x"))).await;
    assert_eq!(payload(&a, &slot).await.as_deref(), Some("old"));

    twin.heal(1);
    assert!(matches!(b.read(&slot).await, Found::Nothing));
    assert!(matches!(b.read(&put).await, Found::Nothing));
    let after = a.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
    let mut told = std::collections::HashSet::new();
    for _ in 0..3 {
        told.insert(other.ended().await.0);
    }
    assert_eq!(told, [Ending::Key(slot), Ending::Key(put), Ending::Mark(name("x"))].into());
    assert_eq!(ear.attached().await, after.newest);
}

#[tokio::test(start_paused = true)]
async fn too_many_words_become_everything() {
    let (twin, a, b) = nodes();
    let before = a.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, _) = Ear::on(&a).await;
    twin.cut(1);
    for _ in 0..2_000 {
        b.end(&Ending::Key(slot())).await;
    }
    twin.heal(1);
    assert_eq!(ear.ended().await.0, Ending::All);
    let after = a.marks(&[name("x")], LONG).await.unwrap();
    assert_ne!(after.marks[0], before.marks[0]);
}

#[tokio::test(start_paused = true)]
async fn a_deaf_node_finds_out() {
    let (twin, a, b) = nodes();
    let (mut ear, begin) = Ear::on(&b).await;
    twin.deafen(1);
    a.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    a.end(&Ending::Mark(name("x"))).await;
    twin.heal(1);
    assert_eq!(ear.attached().await.number, begin.number + 2);
    a.end(&Ending::Mark(name("x"))).await;
    assert_eq!(ear.ended().await.1.number, begin.number + 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_message_is_a_hole() {
    let (twin, a, b) = nodes();
    let (mut ear, begin) = Ear::on(&b).await;
    twin.lose_one(1);
    a.end(&Ending::Mark(name("x"))).await;
    a.end(&Ending::Mark(name("y"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    assert_eq!(ear.attached().await.number, begin.number + 2);
    // The last one, after which nothing comes.
    twin.lose_one(1);
    a.end(&Ending::Mark(name("x"))).await;
    assert!(matches!(ear.next().await, Heard::Detached));
    assert_eq!(ear.attached().await.number, begin.number + 3);
}

#[tokio::test(start_paused = true)]
async fn more_than_a_node_can_hold_is_a_hole() {
    let (_twin, a, b) = nodes();
    let (mut ear, begin) = Ear::on(&b).await;
    let Tier::Twin(node) = &*a else { unreachable!() };
    // In one go: the ear is not asked in between.
    let now = node.now();
    for _ in 0..3_000 {
        node.twin.lock().end(0, &Ending::Mark(name("x")), now);
    }
    ear.until(|heard| matches!(heard, Heard::Detached)).await;
    assert_eq!(ear.attached().await.number, begin.number + 3_000);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_restarted_empty_is_another() {
    let (twin, a, b) = nodes();
    let slot = slot();
    filled(&a, &slot, "old").await;
    let before = a.marks(&[name("x")], LONG).await.unwrap();
    let (mut ear, begin) = Ear::on(&b).await;
    twin.restart_empty();
    assert!(matches!(ear.next().await, Heard::Detached));
    assert_ne!(ear.attached().await.incarnation, begin.incarnation);
    assert!(matches!(b.read(&slot).await, Found::Nothing));
    let after = b.marks(&[name("x")], LONG).await.unwrap();
    assert!(after.marks[0] == after.newest && after.marks[0] != before.marks[0]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_shutdown() {
    let (_twin, a, _) = nodes();
    let heard = Mutex::new(Vec::new());
    let shutdown = tokio::time::sleep(Duration::from_millis(1));
    a.listen(|what| heard.lock().unwrap().push(what), || 7, shutdown).await;
    let heard = heard.into_inner().unwrap();
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Whole(7), Heard::Detached]), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_behind_hears_everything_later_and_in_order() {
    let (twin, a, b) = nodes();
    let (mut ear, begin) = Ear::on(&b).await;
    twin.lag(1, Duration::from_millis(100));
    let sent = Instant::now();
    for (n, mark) in ["x", "y", "z"].into_iter().enumerate() {
        a.end(&Ending::Mark(name(mark))).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(sent.elapsed().as_millis(), 10 * (n as u128 + 1));
    }
    for n in 1..=3 {
        let Heard::Ended { mark, .. } = ear.next().await else { unreachable!() };
        assert_eq!((mark.number, sent.elapsed().as_millis()), (begin.number + n, 90 + 10 * u128::from(n)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_is_answered_later() {
    let (twin, a, _) = nodes();
    twin.slow(0, Duration::from_millis(100));
    let begun = Instant::now();
    for _ in 0..50 {
        assert!(matches!(a.read(&slot()).await, Found::Nothing));
    }
    let took = begun.elapsed().as_millis();
    assert!((3_000..8_000).contains(&took), "{took}");
}
