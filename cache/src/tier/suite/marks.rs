//! What ends many values at once.

use super::{Ear, LONG, Nodes, name, suite};
use crate::tier::{Ending, Marks, Tier};

suite!(
    missing_ones_are_made_and_stay,
    an_ended_one_is_another,
    everything_ends_at_once,
    what_is_made_says_that_nothing_ended_since,
);

async fn missing_ones_are_made_and_stay(nodes: Nodes) {
    let names = [name("x"), name("y")];
    let first = marks(&nodes.a, &names).await;
    assert_eq!(first.marks, [first.newest; 2]);
    let second = marks(&nodes.b, &names).await;
    assert_eq!(first.marks, second.marks);
    assert_eq!(first.newest, second.newest, "to ask ends nothing");
    nodes.b.end(&Ending::Mark(name("other"))).await;
    let mixed = marks(&nodes.a, &[name("y"), name("z"), name("x")]).await;
    assert_ne!(mixed.newest, first.newest);
    assert_eq!(mixed.marks, [first.marks[1], mixed.newest, first.marks[0]]);
    assert!(marks(&nodes.a, &[]).await.marks.is_empty());
}

async fn an_ended_one_is_another(nodes: Nodes) {
    let names = [name("x"), name("y")];
    let before = marks(&nodes.a, &names).await;
    nodes.b.end(&Ending::Mark(name("x"))).await;
    let after = marks(&nodes.a, &names).await;
    assert_ne!(after.marks[0], before.marks[0]);
    assert_eq!(after.marks[1], before.marks[1]);
    assert_eq!(after.newest.number, before.newest.number + 1);
    assert_eq!(after.marks[0], after.newest);
    assert!(before.marks[0].is_within(before.newest) && !after.marks[0].is_within(before.newest));
    // One that nobody asked for yet, too.
    nodes.b.end(&Ending::Mark(name("new"))).await;
    nodes.b.end(&Ending::Mark(name("y"))).await;
    let ended = marks(&nodes.a, &[name("new"), name("y")]).await;
    assert_eq!(ended.marks[1], ended.newest);
    assert_eq!(ended.marks[0].number, ended.newest.number - 1, "it stands there since");
}

/// No mark is as it was, whether or not anyone knows its name.
async fn everything_ends_at_once(nodes: Nodes) {
    let names = [name("x"), name("y"), crate::mark::MarkName::of_cache("users.1")];
    nodes.a.end(&Ending::Mark(name("x"))).await;
    let before = marks(&nodes.a, &names).await;
    let (mut ear, _) = Ear::on(&nodes.b).await;
    nodes.a.end(&Ending::All).await;
    let (ending, mark) = ear.ended().await;
    assert_eq!(ending, Ending::All);
    let after = marks(&nodes.b, &names).await;
    assert_eq!(after.newest, mark);
    for (old, new) in before.marks.iter().zip(&after.marks) {
        assert_ne!(old.incarnation, new.incarnation);
        assert_eq!(*new, after.newest);
    }
    assert_eq!(marks(&nodes.a, &names).await.marks, after.marks);
    // It goes on counting, without a hole.
    nodes.a.end(&Ending::Mark(name("x"))).await;
    let (_, next) = ear.ended().await;
    assert_eq!((next.incarnation, next.number), (mark.incarnation, mark.number + 1));
}

/// A mark that was lost and is made again at the same number says as much as the lost one.
async fn what_is_made_says_that_nothing_ended_since(nodes: Nodes) {
    let x = marks(&nodes.a, &[name("x")]).await;
    nodes.a.end(&Ending::Mark(name("y"))).await;
    let z = marks(&nodes.b, &[name("z")]).await;
    assert_eq!(z.marks[0].number, x.newest.number + 1);
    assert!(!z.marks[0].is_within(x.newest));
}

async fn marks(tier: &Tier, names: &[crate::mark::MarkName]) -> Marks {
    let marks = tier.marks(names, LONG).await.expect("it is there");
    assert_eq!(marks.marks.len(), names.len());
    marks
}
