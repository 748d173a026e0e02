//! What lies in slots.

use std::time::Duration;

use super::{LONG, Nodes, filled, payload, slot, suite, until, value};
use crate::envelope::Token;
use crate::tier::{Ending, Filled, Found};

suite!(
    written_read_and_ended,
    many_are_read_in_their_order,
    values_have_a_life,
    bad_ones_go_if_they_are_the_same,
    any_bytes_come_back_as_they_were,
    time_goes_by,
);

async fn written_read_and_ended(nodes: Nodes) {
    let slot = slot();
    assert!(matches!(nodes.a.read(&slot).await, Found::Nothing));
    filled(&nodes.a, &slot, "one").await;
    assert_eq!(payload(&nodes.b, &slot).await.as_deref(), Some("one"));
    filled(&nodes.b, &slot, "two").await;
    assert_eq!(payload(&nodes.a, &slot).await.as_deref(), Some("two"));
    nodes.a.end(&Ending::Key(slot.clone())).await;
    assert!(matches!(nodes.b.read(&slot).await, Found::Nothing));
    nodes.a.end(&Ending::Key(slot.clone())).await;
}

async fn many_are_read_in_their_order(nodes: Nodes) {
    // More than one trip of them.
    let slots: Vec<_> = std::iter::repeat_with(slot).take(1_200).collect();
    filled(&nodes.a, &slots[0], "first").await;
    filled(&nodes.a, &slots[700], "middle").await;
    assert!(matches!(nodes.a.read_or_lease(&slots[1], Token::draw(), LONG).await, Found::Leased));
    let found = nodes.b.read_many(&slots).await.unwrap();
    let there: Vec<_> = (0..).zip(&found).filter(|(_, found)| !matches!(found, Found::Nothing)).collect();
    assert_eq!((found.len(), there.iter().map(|(n, _)| *n).collect::<Vec<_>>()), (1_200, vec![0, 1, 700]));
    let payloads = found.into_iter().map(super::payload_of).collect::<Vec<_>>();
    assert_eq!(
        [&payloads[0], &payloads[1], &payloads[700]].map(|payload| payload.as_deref()),
        [Some("first"), None, Some("middle"),]
    );
    assert!(matches!(nodes.b.read_many(&[]).await.as_deref(), Some([])));
}

async fn values_have_a_life(nodes: Nodes) {
    let (put, leased, ours) = (slot(), slot(), Token::draw());
    let life = Duration::from_millis(30);
    assert!(nodes.a.put(&put, value("short").1, life).await);
    assert!(matches!(nodes.a.read_or_lease(&leased, ours, LONG).await, Found::Leased));
    assert_eq!(nodes.a.fill(&leased, ours, value("short").1, life).await, Filled::Stored);
    until(async || matches!(nodes.b.read(&put).await, Found::Nothing)).await;
    until(async || matches!(nodes.b.read(&leased).await, Found::Nothing)).await;
    // Less than is counted is not nothing, and no error.
    assert!(nodes.a.put(&put, value("short").1, Duration::ZERO).await);
    assert!(matches!(nodes.a.read_or_lease(&leased, ours, Duration::ZERO).await, Found::Leased));
    until(async || matches!(nodes.b.read(&put).await, Found::Nothing)).await;
}

async fn bad_ones_go_if_they_are_the_same(nodes: Nodes) {
    let slot = slot();
    assert!(nodes.a.put(&slot, b"V cut short".to_vec(), LONG).await);
    let bad = super::bytes(&nodes.b, &slot).await.unwrap();
    filled(&nodes.a, &slot, "good").await;
    nodes.b.drop_bad(&slot, &bad).await;
    assert_eq!(payload(&nodes.a, &slot).await.as_deref(), Some("good"));
    let good = super::bytes(&nodes.b, &slot).await.unwrap();
    nodes.b.drop_bad(&slot, &good).await;
    assert!(matches!(nodes.a.read(&slot).await, Found::Nothing));
    nodes.b.drop_bad(&slot, &good).await;
}

async fn any_bytes_come_back_as_they_were(nodes: Nodes) {
    let slot = slot();
    for bytes in [vec![], vec![0; 300], (0..=255).collect(), vec![b'V'; 40], b"\r\n$-1\r\n".to_vec()] {
        assert!(nodes.a.put(&slot, bytes.clone(), LONG).await);
        assert_eq!(super::bytes(&nodes.b, &slot).await.unwrap(), bytes);
        // No lease of anybody, and nothing breaks.
        let token = Token::draw();
        assert_eq!(nodes.a.fill(&slot, token, value("x").1, LONG).await, Filled::Refused);
        assert!(!nodes.a.renew(&slot, token, LONG).await);
        nodes.a.release(&slot, token).await;
        nodes.a.wait_for(&slot).await;
        assert_eq!(nodes.b.take(&slot, token, token, LONG, true).await, crate::tier::Taken::Changed);
        assert_eq!(super::bytes(&nodes.b, &slot).await.unwrap(), bytes);
    }
}

async fn time_goes_by(nodes: Nodes) {
    nodes.a.read(&slot()).await;
    nodes.b.read(&slot()).await;
    let start = nodes.a.now();
    assert!(start > 1_600_000_000_000, "the tier's, not ours");
    until(async || nodes.b.now() >= start + 20).await;
    assert!(nodes.b.now().abs_diff(nodes.a.now()) < 10_000);
}
