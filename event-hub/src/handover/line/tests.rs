//! Tests of [`Line`].

use futures_util::FutureExt as _;
use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn it_is_in_order_and_bounded() {
    let line = Line::new(3);
    let mut items = vec![1, 2, 3, 4];
    assert!(line.push_all(&mut items));
    assert_eq!(items, [4], "no room for it");
    assert_eq!(line.try_push(4), Err(Refused::Full(4)));
    assert_eq!((line.try_pop(), line.pop().await), (Some(1), Some(2)));
    assert_eq!(line.try_push(4), Ok(()));
    let mut rest = vec![0];
    assert_eq!(line.pop_many(&mut rest, 9).await, 2);
    assert_eq!(rest, [0, 3, 4]);
    assert_eq!((line.try_pop(), line.is_empty()), (None, true));
}

#[tokio::test]
async fn whoever_waits_for_room_gets_it() {
    let line = Line::new(1);
    line.push(1).await.unwrap();
    let mut second = Box::pin(line.push(2));
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(line.try_pop(), Some(1));
    assert_eq!(second.await, Ok(()));
    let mut third = Box::pin(line.push(3));
    assert!(third.as_mut().now_or_never().is_none());
    line.clear();
    assert_eq!(third.await, Ok(()));
    assert_eq!(line.try_pop(), Some(3));
}

#[tokio::test]
async fn a_closed_line_gives_what_it_has_and_ends() {
    let line = Line::new(3);
    let inlet = Inlet::of(&line);
    inlet.push(1).await.unwrap();
    let waiting = tokio::spawn({
        let line = line.clone();
        async move {
            let first = line.pop().await;
            (first, line.pop().await)
        }
    });
    tokio::task::yield_now().await;
    drop(inlet);
    assert_eq!(waiting.await.unwrap(), (Some(1), None), "one that waited hears of it");
    line.closed().await;
    assert_eq!(line.push(2).await, Err(2));
    assert!(!line.push_all(&mut vec![2]));
    assert_eq!(line.pop_many(&mut Vec::new(), 1).await, 0);
}

/// One call wakes one; it must wake the next, or the rest would lie there while others wait.
#[tokio::test]
async fn those_who_wait_wake_each_other() {
    let line = Line::new(10);
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let line = line.clone();
        waiting.spawn(async move { line.pop().await.unwrap() });
    }
    tokio::task::yield_now().await;
    line.push_all(&mut vec![1, 2, 3]);
    let mut got = waiting.join_all().await;
    got.sort_unstable();
    assert_eq!(got, [1, 2, 3]);
}

#[tokio::test]
async fn more_hands_are_asked_for_while_there_is_more_to_do() {
    let line = Line::new(10);
    assert!(line.short().now_or_never().is_none(), "nothing to do");
    let mut waiting = Box::pin(line.pop());
    assert!(waiting.as_mut().now_or_never().is_none());
    line.push_all(&mut vec![1, 2, 3]);
    assert!(line.short().now_or_never().is_none(), "someone waits");
    assert_eq!(waiting.await, Some(1));
    assert!(line.short().now_or_never().is_some(), "it has its hands full, and there is more");
    assert_eq!(line.try_pop(), Some(2));
    line.enough();
    assert!(line.short().now_or_never().is_some(), "asked before");
    assert_eq!(line.try_push(4), Ok(()));
    assert!(line.short().now_or_never().is_none(), "there are no more");
}

/// One that stopped waiting must not be counted on.
#[tokio::test]
async fn who_gives_up_waiting_is_not_waited_for() {
    let line = Line::new(10);
    for _ in 0..2 {
        assert!(Box::pin(line.pop()).as_mut().now_or_never().is_none());
    }
    line.try_push(1).unwrap();
    assert!(line.short().now_or_never().is_some());
    assert_eq!(line.try_pop(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_is_taken_once_by_one_of_many() {
    let line = Line::new(16);
    let mut takers = JoinSet::new();
    for many in [false, true, false, true] {
        let line = line.clone();
        takers.spawn(async move {
            let mut taken = Vec::new();
            loop {
                let count = if many {
                    line.pop_many(&mut taken, 5).await
                } else {
                    line.pop().await.map(|item| taken.push(item)).map_or(0, |()| 1)
                };
                if count == 0 {
                    return taken;
                }
            }
        });
    }
    let inlet = Inlet::of(&line);
    let mut batch: Vec<u32> = Vec::new();
    for n in 0..20_000 {
        if n % 7 == 0 {
            inlet.push(n).await.unwrap();
            continue;
        }
        batch.push(n);
        while n % 7 == 6 && !batch.is_empty() {
            inlet.push_all(&mut batch);
            inlet.room().await;
        }
    }
    while !batch.is_empty() {
        inlet.push_all(&mut batch);
        inlet.room().await;
    }
    drop(inlet);
    let mut all: Vec<u32> = takers.join_all().await.into_iter().flatten().collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(0..20_000), "{} taken", all.len());
}
