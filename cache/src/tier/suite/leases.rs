//! Who may write.

use std::time::Duration;

use super::{LONG, Nodes, filled, payload, payload_of, slot, suite, until, value};
use crate::envelope::{Held, Token};
use crate::tier::{Ending, Filled, Found, Taken, Tier};

/// Short enough to be waited for.
const SHORT: Duration = Duration::from_millis(200);

suite!(
    one_of_many_gets_it,
    its_holder_fills_and_nobody_else,
    one_that_ended_by_itself_is_anothers,
    a_renewed_one_lives_on,
    given_back_by_its_holder_only,
    what_ends_takes_the_lease_along,
    a_value_can_be_leased_while_it_is_read,
    a_value_can_be_leased_away,
    of_many_values_those_that_are_missing_are_leased,
    a_lease_over_a_value_ends_by_itself,
    a_lease_over_a_value_outlives_it,
);

async fn one_of_many_gets_it(nodes: Nodes) {
    let slot = slot();
    let asks = (0..40).map(|n| {
        let tier = if n % 2 == 0 { &nodes.a } else { &nodes.b };
        tier.read_or_lease(&slot, Token::draw(), LONG)
    });
    let answers = futures_util::future::join_all(asks).await;
    assert_eq!(answers.iter().filter(|found| matches!(found, Found::Leased)).count(), 1);
    let others = answers.into_iter().filter(|found| !matches!(found, Found::Leased));
    for found in others {
        let Found::Slot(bytes) = found else { panic!("{found:?}") };
        assert!(matches!(Held::decode(&bytes), Held::Lease));
    }
}

async fn its_holder_fills_and_nobody_else(nodes: Nodes) {
    let (slot, ours) = (slot(), Token::draw());
    assert_eq!(nodes.a.fill(&slot, ours, value("early").1, LONG).await, Filled::Refused, "nothing leased");
    leased(&nodes.a, &slot, ours).await;
    assert_eq!(nodes.b.fill(&slot, Token::draw(), value("other").1, LONG).await, Filled::Refused);
    assert_eq!(nodes.a.fill(&slot, ours, value("ours").1, LONG).await, Filled::Stored);
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("ours"));
    assert_eq!(nodes.a.fill(&slot, ours, value("twice").1, LONG).await, Filled::Refused);
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("ours"));
}

async fn one_that_ended_by_itself_is_anothers(nodes: Nodes) {
    let (slot, late, next) = (slot(), Token::draw(), Token::draw());
    leased(&nodes.a, &slot, late).await;
    assert!(nodes.a.renew(&slot, late, SHORT).await, "a shorter life is one too");
    nodes.a.release(&slot, late).await;
    assert!(matches!(nodes.a.read_or_lease(&slot, late, SHORT).await, Found::Leased));
    until(async || matches!(nodes.b.read_or_lease(&slot, next, LONG).await, Found::Leased)).await;
    assert_eq!(nodes.a.fill(&slot, late, value("late").1, LONG).await, Filled::Refused);
    assert!(!nodes.a.renew(&slot, late, LONG).await);
    assert_eq!(nodes.b.fill(&slot, next, value("next").1, LONG).await, Filled::Stored);
}

async fn a_renewed_one_lives_on(nodes: Nodes) {
    let (renewed, other, ours) = (slot(), slot(), Token::draw());
    assert!(matches!(nodes.a.read_or_lease(&renewed, ours, SHORT).await, Found::Leased));
    assert!(matches!(nodes.a.read_or_lease(&other, ours, SHORT).await, Found::Leased));
    if !nodes.a.renew(&renewed, ours, LONG).await {
        // This machine stood still for so long.
        assert!(matches!(nodes.a.read_or_lease(&renewed, ours, LONG).await, Found::Leased));
    }
    assert!(!nodes.b.renew(&renewed, Token::draw(), LONG).await);
    until(async || matches!(nodes.b.read(&other).await, Found::Nothing)).await;
    assert_eq!(nodes.a.fill(&renewed, ours, value("ours").1, LONG).await, Filled::Stored);
}

async fn given_back_by_its_holder_only(nodes: Nodes) {
    let (slot, ours) = (slot(), Token::draw());
    leased(&nodes.a, &slot, ours).await;
    nodes.b.release(&slot, Token::draw()).await;
    assert!(nodes.a.renew(&slot, ours, LONG).await, "it is still ours");
    nodes.a.release(&slot, ours).await;
    assert!(matches!(nodes.b.read(&slot).await, Found::Nothing));
    nodes.a.release(&slot, ours).await;
    let (_, bytes) = filled(&nodes.b, &slot, "kept").await;
    nodes.a.release(&slot, ours).await;
    assert_eq!(super::bytes(&nodes.a, &slot).await.unwrap(), bytes, "a value is no lease");
}

async fn what_ends_takes_the_lease_along(nodes: Nodes) {
    let (ended, put, ours) = (slot(), slot(), Token::draw());
    leased(&nodes.a, &ended, ours).await;
    leased(&nodes.a, &put, ours).await;
    nodes.b.end(&Ending::Key(ended.clone())).await;
    filled(&nodes.b, &put, "newer").await;
    assert_eq!(nodes.a.fill(&ended, ours, value("old").1, LONG).await, Filled::Refused);
    assert_eq!(nodes.a.fill(&put, ours, value("old").1, LONG).await, Filled::Refused);
    assert_eq!(payload(&nodes.a, &put).await.as_deref(), Some("newer"));
    assert!(!nodes.a.renew(&put, ours, LONG).await);
    // The same once more, with another lease in between.
    leased(&nodes.b, &ended, Token::draw()).await;
    assert_eq!(nodes.a.fill(&ended, ours, value("old").1, LONG).await, Filled::Refused);
}

async fn a_value_can_be_leased_while_it_is_read(nodes: Nodes) {
    let (slot, ours, other) = (slot(), Token::draw(), Token::draw());
    let (id, bytes) = filled(&nodes.a, &slot, "old").await;
    assert_eq!(nodes.a.take(&slot, Token::draw(), ours, LONG, true).await, Taken::Changed);
    assert_eq!(nodes.a.take(&slot, id, ours, LONG, true).await, Taken::Leased);
    assert_eq!(nodes.b.take(&slot, id, other, LONG, true).await, Taken::Busy);
    assert_eq!(nodes.b.take(&slot, id, other, LONG, false).await, Taken::Busy);
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("old"), "it stays to be read");
    assert_eq!(payload_of(nodes.b.read_or_lease(&slot, other, LONG).await).as_deref(), Some("old"));
    assert_eq!(nodes.b.fill(&slot, other, value("other").1, LONG).await, Filled::Refused);
    assert!(nodes.a.renew(&slot, ours, LONG).await && !nodes.b.renew(&slot, other, LONG).await);
    assert_eq!(nodes.a.fill(&slot, ours, value("new").1, LONG).await, Filled::Stored);
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("new"));
    assert_eq!(nodes.b.take(&slot, id, other, LONG, true).await, Taken::Changed, "it is another one");

    // Given back, the value is as it was, and the next one gets it.
    let (id, _) = filled(&nodes.a, &slot, "old").await;
    assert_eq!(nodes.a.take(&slot, id, ours, LONG, true).await, Taken::Leased);
    nodes.b.release(&slot, other).await;
    assert_eq!(nodes.b.take(&slot, id, other, LONG, true).await, Taken::Busy);
    nodes.a.release(&slot, ours).await;
    assert_eq!(super::bytes(&nodes.b, &slot).await.unwrap().len(), bytes.len());
    assert_eq!(nodes.a.fill(&slot, ours, value("late").1, LONG).await, Filled::Refused);
    assert_eq!(nodes.b.take(&slot, id, other, LONG, true).await, Taken::Leased);

    // A value that was written over is not the leased one.
    filled(&nodes.a, &slot, "newer").await;
    assert_eq!(nodes.b.fill(&slot, other, value("late").1, LONG).await, Filled::Refused);
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("newer"));
}

async fn a_value_can_be_leased_away(nodes: Nodes) {
    let (slot, ours) = (slot(), Token::draw());
    let (id, _) = filled(&nodes.a, &slot, "dead").await;
    assert_eq!(nodes.a.take(&slot, id, ours, LONG, false).await, Taken::Leased);
    let found = super::bytes(&nodes.b, &slot).await.unwrap();
    assert!(matches!(Held::decode(&found), Held::Lease), "the value is gone");
    assert_eq!(nodes.b.take(&slot, id, Token::draw(), LONG, false).await, Taken::Busy);
    assert_eq!(nodes.a.fill(&slot, ours, value("new").1, LONG).await, Filled::Stored);
    nodes.a.end(&Ending::Key(slot.clone())).await;
    assert_eq!(nodes.b.take(&slot, id, Token::draw(), LONG, false).await, Taken::Changed);
}

async fn of_many_values_those_that_are_missing_are_leased(nodes: Nodes) {
    let (ours, other) = (Token::draw(), Token::draw());
    // More than one call takes.
    let slots: Vec<_> = (0..1203).map(|_| slot()).collect();
    for slot in slots.iter().step_by(100) {
        filled(&nodes.a, slot, &slot.key).await;
    }
    leased(&nodes.b, &slots[7], other).await;
    let found = nodes.a.read_or_lease_many(&slots, ours, LONG).await.unwrap();
    assert_eq!(found.len(), slots.len());
    for (n, (slot, found)) in slots.iter().zip(found).enumerate() {
        match n {
            7 => assert!(matches!(found, Found::Slot(bytes) if bytes[1..] == other.0)),
            _ if n % 100 == 0 => assert_eq!(payload_of(found).as_deref(), Some(&*slot.key)),
            _ => assert!(matches!(found, Found::Leased), "{n} {found:?}"),
        }
    }
    nodes.b.end(&Ending::Key(slots[1].clone())).await;
    let fills = slots.iter().map(|slot| (slot.clone(), value(&slot.key).1, LONG)).collect();
    let filled = nodes.a.fill_many(fills, ours).await;
    for (n, filled) in filled.into_iter().enumerate() {
        let refused = n % 100 == 0 || n == 7 || n == 1;
        assert_eq!(filled, if refused { Filled::Refused } else { Filled::Stored }, "{n}");
    }
    assert_eq!(payload(&nodes.b, &slots[2]).await.as_deref(), Some(&*slots[2].key));
    assert!(nodes.a.read_or_lease_many(&[], ours, LONG).await.unwrap().is_empty());
    assert!(nodes.a.fill_many(Vec::new(), ours).await.is_empty());
}

async fn a_lease_over_a_value_ends_by_itself(nodes: Nodes) {
    let (slot, gone, next) = (slot(), Token::draw(), Token::draw());
    let (id, _) = filled(&nodes.a, &slot, "old").await;
    assert_eq!(nodes.a.take(&slot, id, gone, SHORT, true).await, Taken::Leased);
    until(async || nodes.b.take(&slot, id, next, LONG, true).await == Taken::Leased).await;
    assert_eq!(nodes.a.fill(&slot, gone, value("late").1, LONG).await, Filled::Refused);
    assert_eq!(nodes.b.fill(&slot, next, value("next").1, LONG).await, Filled::Stored);
}

async fn a_lease_over_a_value_outlives_it(nodes: Nodes) {
    let (slot, other, ours) = (slot(), slot(), Token::draw());
    let (id, bytes) = value("old");
    // The value goes soon; its lease may not go with it.
    loop {
        assert!(
            nodes.a.put(&slot, bytes.clone(), SHORT).await && nodes.a.put(&other, bytes.clone(), SHORT).await
        );
        if nodes.a.take(&slot, id, ours, LONG, true).await == Taken::Leased {
            break;
        }
    }
    until(async || matches!(nodes.b.read(&other).await, Found::Nothing)).await;
    assert_eq!(nodes.a.fill(&slot, ours, value("new").1, LONG).await, Filled::Stored);
}

async fn leased(tier: &Tier, slot: &crate::tier::Slot, token: Token) {
    assert!(matches!(tier.read_or_lease(slot, token, LONG).await, Found::Leased));
}
