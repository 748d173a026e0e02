//! Tests of [`Lanes`].

use bytes::Bytes;

use super::*;
use crate::message::{Headers, Message, Properties, Token};

fn job(key: Option<&str>, generation: u64, tag: u64) -> Job {
    let (properties, headers) = (Properties::default(), Headers::default());
    let message = Message::new("".into(), "".into(), Bytes::new().into(), properties, headers);
    let token = Token { generation, tag };
    let delivery = Delivery {
        message: message.into(),
        queue: "q".into(),
        redelivered: false,
        returns: 0,
        arrived: Instant::now(),
        token,
    };
    Job { key: key.map(str::to_owned), ..Job::from(delivery) }
}

fn heads(lanes: &Lanes) -> Vec<u64> {
    std::iter::from_fn(|| lanes.heads().try_pop()).map(|job| job.delivery.token.tag).collect()
}

#[tokio::test]
async fn one_of_each_key_is_in_line() {
    let lanes = Lanes::new(10);
    for (tag, key) in [Some("a"), Some("b"), Some("a"), None, None, Some("b")].into_iter().enumerate() {
        lanes.push(job(key, 1, tag as u64)).await;
    }
    assert_eq!(heads(&lanes), [0, 1, 3, 4]);
    assert!(lanes.done("a").is_none());
    assert_eq!(heads(&lanes), [2]);
    assert!(lanes.done("a").is_none());
    assert_eq!(heads(&lanes), [] as [u64; 0], "nothing is behind it");
    lanes.push(job(Some("a"), 1, 6)).await;
    assert_eq!(heads(&lanes), [6], "the key is free again");
    assert!(lanes.done("b").is_none());
    assert_eq!(heads(&lanes), [5]);
}

#[tokio::test]
async fn what_stands_back_keeps_its_key() {
    let lanes = Lanes::new(10);
    for (tag, key) in [(0, "a"), (1, "b"), (2, "a")] {
        lanes.push(job(Some(key), 1, tag)).await;
    }
    let first = lanes.heads().pop().await.unwrap();
    assert!(lanes.again(first).is_none());
    assert_eq!(heads(&lanes), [1, 0], "behind the other key, before its own next");
}

#[tokio::test]
async fn a_full_line_leaves_the_next_with_its_worker() {
    let lanes = Lanes::new(1);
    lanes.push(job(Some("a"), 1, 0)).await;
    let first = lanes.heads().pop().await.unwrap();
    lanes.push(job(Some("a"), 1, 1)).await;
    lanes.push(job(Some("b"), 1, 2)).await;
    assert_eq!(lanes.done("a").map(|job| job.delivery.token.tag), Some(1));
    assert_eq!(lanes.again(first).map(|job| job.delivery.token.tag), Some(0));
}

/// What waits behind a key was given back with its channel, and comes again: it is not kept.
#[tokio::test]
async fn a_new_generation_clears_what_waits() {
    let lanes = Lanes::new(10);
    for tag in 0..3 {
        lanes.push(job(Some("a"), 1, tag)).await;
    }
    assert_eq!(heads(&lanes), [0]);
    for tag in 0..2 {
        lanes.push(job(Some("a"), 2, tag)).await;
    }
    assert_eq!(heads(&lanes), [] as [u64; 0], "the first is still running");
    let mut left = Vec::new();
    loop {
        assert!(lanes.done("a").is_none());
        let Some(job) = lanes.heads().try_pop() else { break };
        left.push((job.generation(), job.delivery.token.tag));
    }
    assert_eq!(left, [(2, 0), (2, 1)]);
}
