//! What the others hear.

use std::collections::HashMap;

use super::{Ear, LONG, Nodes, filled, name, payload, slot, suite, value};
use crate::envelope::Token;
use crate::tier::{Ending, Filled, Found, Heard, Taken};

suite!(
    everything_that_ends_is_heard_in_order,
    many_that_end_at_once_are_heard_one_by_one,
    own_keys_are_told_as_such,
    who_waits_hears_of_the_fill,
    who_waits_hears_that_nobody_loads_any_more,
    a_fill_that_nobody_waits_for_is_not_told,
    names_of_all_kinds_arrive,
);

async fn everything_that_ends_is_heard_in_order(nodes: Nodes) {
    let (mut ear, begin) = Ear::on(&nodes.b).await;
    let slot = slot();
    for round in 0..100_u64 {
        filled(&nodes.a, &slot, "put").await;
        nodes.a.end(&Ending::Mark(name("x"))).await;
        nodes.a.end(&Ending::Key(slot.clone())).await;
        let expected = [Ending::Key(slot.clone()), Ending::Mark(name("x")), Ending::Key(slot.clone())];
        for (n, expected) in expected.into_iter().enumerate() {
            let (ending, mark) = ear.ended().await;
            assert_eq!(ending, expected);
            assert_eq!(mark.incarnation, begin.incarnation);
            assert_eq!(mark.number, begin.number + round * 3 + n as u64 + 1);
        }
    }
    let now = nodes.a.marks(&[name("x")], LONG).await.unwrap();
    assert_eq!(now.newest.number, begin.number + 300);
    assert_eq!(now.marks[0].number, begin.number + 299, "what was told is what stands there");
}

/// More than one trip of them: each has a number of its own, and is gone when it is told.
async fn many_that_end_at_once_are_heard_one_by_one(nodes: Nodes) {
    let (mut ear, begin) = Ear::on(&nodes.b).await;
    let slots: Vec<_> = (0..300).map(|_| slot()).collect();
    for slot in &slots {
        filled(&nodes.a, slot, "old").await;
        ear.ended().await;
    }
    let keys = slots.iter().cloned().map(Ending::Key);
    let marks = (0..300).map(|n| Ending::Mark(name(&n.to_string())));
    let endings: Vec<_> = keys.zip(marks).flat_map(|(key, mark)| [key, mark]).collect();
    nodes.a.end_many(&endings).await;
    let (mut told, mut number) = (HashMap::new(), begin.number + 300);
    // An answer that a busy machine looks for too late is one more telling.
    while told.len() < 600 {
        let (ending, mark) = ear.ended().await;
        number += 1;
        assert_eq!((mark.incarnation, mark.number), (begin.incarnation, number));
        told.insert(ending, mark);
    }
    assert!(endings.iter().all(|ending| told.contains_key(ending)));
    for n in [0, 149, 299] {
        let marks = nodes.b.marks(&[name(&n.to_string())], LONG).await.unwrap();
        assert!(told[&endings[2 * n + 1]].is_within(marks.marks[0]));
    }
    assert!(nodes.b.read_many(&slots).await.unwrap().iter().all(|found| matches!(found, Found::Nothing)));
    nodes.a.end_many(&[]).await;
    assert_eq!(nodes.a.untold().endings, 0);
}

async fn own_keys_are_told_as_such(nodes: Nodes) {
    let (mut ear, begin) = Ear::on(&nodes.a).await;
    let slot = slot();
    filled(&nodes.a, &slot, "own").await;
    nodes.a.end(&Ending::Key(slot.clone())).await;
    nodes.b.end(&Ending::Key(slot.clone())).await;
    for (n, whose) in [(1, true), (2, true), (3, false)] {
        let Heard::Ended { ending: Ending::Key(ended), mark, own } = ear.next().await else { unreachable!() };
        assert_eq!((ended, mark.number, own), (slot.clone(), begin.number + n, whose));
    }
}

async fn who_waits_hears_of_the_fill(nodes: Nodes) {
    let ours = Token::draw();
    let (missing, stale) = (slot(), slot());
    assert!(matches!(nodes.a.read_or_lease(&missing, ours, LONG).await, Found::Leased));
    let (id, _) = filled(&nodes.b, &stale, "old").await;
    assert_eq!(nodes.a.take(&stale, id, ours, LONG, true).await, Taken::Leased);
    let (mut ear, _) = Ear::on(&nodes.b).await;
    for slot in [missing, stale] {
        nodes.b.wait_for(&slot).await;
        nodes.b.wait_for(&slot).await;
        assert!(nodes.a.renew(&slot, ours, LONG).await, "it is still leased");
        assert_eq!(nodes.a.fill(&slot, ours, value("new").1, LONG).await, Filled::Stored);
        let heard = ear.next().await;
        assert!(matches!(&heard, Heard::Filled(filled) if *filled == slot), "{heard:?}");
        assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("new"));
    }
}

async fn who_waits_hears_that_nobody_loads_any_more(nodes: Nodes) {
    let ours = Token::draw();
    let (missing, stale) = (slot(), slot());
    assert!(matches!(nodes.a.read_or_lease(&missing, ours, LONG).await, Found::Leased));
    let (id, _) = filled(&nodes.b, &stale, "old").await;
    assert_eq!(nodes.a.take(&stale, id, ours, LONG, true).await, Taken::Leased);
    let (mut ear, _) = Ear::on(&nodes.b).await;
    for slot in [missing, stale] {
        nodes.b.wait_for(&slot).await;
        nodes.a.release(&slot, ours).await;
        let heard = ear.next().await;
        assert!(matches!(&heard, Heard::Filled(filled) if *filled == slot), "{heard:?}");
    }
}

async fn a_fill_that_nobody_waits_for_is_not_told(nodes: Nodes) {
    let (mut ear, _) = Ear::on(&nodes.b).await;
    let (slot, ours) = (slot(), Token::draw());
    for _ in 0..3 {
        assert!(matches!(nodes.a.read_or_lease(&slot, ours, LONG).await, Found::Leased));
        assert_eq!(nodes.a.fill(&slot, ours, value("new").1, LONG).await, Filled::Stored);
        nodes.a.end(&Ending::Key(slot.clone())).await;
        assert_eq!(ear.ended().await.0, Ending::Key(slot.clone()), "and nothing else");
    }
}

async fn names_of_all_kinds_arrive(nodes: Nodes) {
    use crate::key::{Tag, written};
    use crate::tier::Slot;
    let (mut ear, _) = Ear::on(&nodes.b).await;
    let texts = ["", " ", "a b", "\r\n", "{x}:*", "ü\u{1F600}", &"long".repeat(500), "%20", "k", "0"];
    for text in texts {
        let key = Slot { space: "a-b_c.12".into(), key: written(&(text.to_owned(), 7)).into() };
        let tag = crate::mark::MarkName::of_tag(&Tag::new("kind of", &text.to_owned()));
        for ending in [Ending::Key(key), Ending::Mark(tag)] {
            nodes.a.end(&ending).await;
            assert_eq!(ear.ended().await.0, ending);
        }
    }
}
