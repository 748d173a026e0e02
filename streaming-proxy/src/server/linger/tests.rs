//! Tests of lingering.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

fn pair(expects: bool) -> (Linger<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(64);
    let rest = Rest::default();
    rest.request(expects);
    (Linger::new(ours, Duration::from_secs(30), rest, Drain::default()), theirs)
}

#[tokio::test(start_paused = true)]
async fn nothing_to_come_is_closed_at_once() {
    let (mut ours, _theirs) = pair(false);
    let start = Instant::now();
    ours.shutdown().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_comes_is_dropped_until_the_client_ends() {
    let (mut ours, mut theirs) = pair(false);
    theirs.write_all(b"already there").await.unwrap();
    let closing = tokio::spawn(async move { ours.shutdown().await });
    // Far more than the connection holds.
    theirs.write_all(&[0; 1 << 16]).await.unwrap();
    let mut answer = Vec::new();
    theirs.read_to_end(&mut answer).await.unwrap();
    assert!(!closing.is_finished());
    theirs.shutdown().await.unwrap();
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_and_endless_talk_are_bounded() {
    let (mut ours, theirs) = pair(true);
    let start = Instant::now();
    ours.shutdown().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
    drop(theirs);

    let (mut ours, mut theirs) = pair(true);
    let start = Instant::now();
    let talk = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if theirs.write_all(b"z").await.is_err() {
                break;
            }
        }
    });
    ours.shutdown().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 30);
    drop(ours);
    talk.await.unwrap();
}

/// Scenario: a client that has its answer sends on and on, and the server drains.
#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_no_endless_talk() {
    let (mut ours, mut theirs) = pair(true);
    let (start, draining) = (Instant::now(), ours.draining.clone());
    let talk = tokio::spawn(async move {
        for second in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if second == 5 {
                draining.begin();
            }
            if theirs.write_all(b"z").await.is_err() {
                break;
            }
        }
    });
    ours.shutdown().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 7);
    drop(ours);
    talk.await.unwrap();
}

/// A tunnel's other end has ended; what this one still says is not ours to drop.
#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_tunnel_stay() {
    let (mut ours, mut theirs) = pair(true);
    ours.rest.switched();
    theirs.write_all(b"said").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut said = [0; 4];
    ours.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"said");
}
