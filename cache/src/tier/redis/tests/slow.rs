//! A Redis that is there and slow.

use devkit::Fault;
use tokio::time::timeout;

use super::*;
use crate::tier::suite::{LONG, filled, payload, slot, until};

/// Slower than it is waited for: one bounded wait, then none, and what was ended meanwhile is told first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_too_slow_costs_one_wait() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&RedisConfig { response_timeout: Duration::from_secs(1), ..at(&url, config) });
    let slot = slot();
    filled(&near.tier, &slot, "old").await;
    back(&far).await;
    let before = far.errors();
    // Each way.
    fault.delay(Duration::from_secs(1));
    let asking = async {
        // Whoever was late itself has waited for nothing that counts.
        while far.is_open() {
            assert!(matches!(far.tier.read(&slot).await, Found::Away));
        }
    };
    timeout(Duration::from_secs(60), asking).await.expect("known to be away from the first wait on");
    for _ in 0..1_000 {
        assert!(matches!(far.tier.read(&slot).await, Found::Away));
    }
    far.tier.end(&Ending::Key(slot.clone())).await;
    assert!(far.errors() <= before + 2, "a look after it at most, and no other wait");
    assert_eq!(payload(&near.tier, &slot).await.as_deref(), Some("old"), "it cannot know");
    fault.heal();
    assert!(matches!(first(&far, &slot).await, Found::Nothing));
    assert!(matches!(near.tier.read(&slot).await, Found::Nothing));
}

/// However long it takes to tell what was missed: nothing is read before all of it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_before_all_is_told() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let near = Node::new(&config);
    let far = Node::new(&at(&url, config));
    // More than is told in one trip.
    let slots: Vec<_> = (0..1_000).map(|_| slot()).collect();
    join_all(slots.iter().map(|slot| filled(&near.tier, slot, "old"))).await;
    back(&far).await;
    fault.cut();
    until(async || matches!(far.tier.read(&slots[0]).await, Found::Away)).await;
    for slot in &slots {
        far.tier.end(&Ending::Key(slot.clone())).await;
    }
    fault.heal();
    fault.delay(Duration::from_millis(50));
    until(async || {
        let found = join_all(slots.iter().step_by(50).map(|slot| far.tier.read(slot))).await;
        assert!(found.iter().all(|found| matches!(found, Found::Away | Found::Nothing)), "{found:?}");
        !matches!(found[0], Found::Away)
    })
    .await;
}

/// Slow, and within its time: slower, and never away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_slow_is_waited_for() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let far = Node::new(&at(&url, config));
    let slot = slot();
    filled(&far.tier, &slot, "x").await;
    fault.delay(Duration::from_millis(20));
    for _ in 0..20 {
        assert_eq!(payload(&far.tier, &slot).await.as_deref(), Some("x"));
    }
    far.tier.end(&Ending::Key(slot.clone())).await;
    assert!(matches!(far.tier.read_or_lease(&slot, Token::draw(), LONG).await, Found::Leased));
    assert_eq!(far.errors(), 0);
    assert!(far.is_open());
}

/// The largest value that is sent, beside small ones on the same connection, over a line of some megabytes a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_the_largest_size_holds_nobody_up_for_too_long() {
    let Some((server, config)) = server().await else { return };
    let (fault, url) = Fault::in_front_of(&server.url()).await.unwrap();
    let far = Node::new(&RedisConfig { response_timeout: Duration::from_secs(5), ..at(&url, config) });
    let (large, small) = (slot(), slot());
    let text = "x".repeat(1024 * 1024);
    filled(&far.tier, &small, "small").await;
    fault.throttle(4_000_000);
    filled(&far.tier, &large, &text).await;
    let smalls = (0..200).map(|_| payload(&far.tier, &small));
    let (one, others) = tokio::join!(payload(&far.tier, &large), join_all(smalls));
    assert!(one.is_some_and(|one| one == text));
    assert!(others.iter().all(|other| other.as_deref() == Some("small")));
    until(async || far.is_open()).await;
    assert_eq!(far.errors(), 0);
}
