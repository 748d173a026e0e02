//! A name that moves from one server to another, while connections to both are open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use devkit::Redis;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tramline_ws_rooms::ErrorKind;

use super::{node_on, raw, settings};
use crate::support::{Peer, publication, publish};

/// Where new connections go. Those that are open stay where they are, as with a name or a proxy.
async fn switch(to: SocketAddr) -> (Arc<Mutex<SocketAddr>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let target = Arc::new(Mutex::new(to));
    let now = Arc::clone(&target);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = *now.lock().unwrap();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
    (target, url)
}

/// A replica is promoted while the old master lives on, and one connection of the node stays with it: no number is given
/// on both in one numbering, and no event ends where nobody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_masters_give_no_number_twice() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let (old, new) = (Redis::start().await.unwrap(), Redis::start().await.unwrap());
    let (mut on_old, mut on_new) = (raw(&old.url()).await, raw(&new.url()).await);
    let mut follow = redis::cmd("REPLICAOF");
    follow.arg("127.0.0.1").arg(old.addr().port()).exec_async(&mut on_new).await.unwrap();
    let (target, url) = switch(old.addr()).await;
    // The first replica changes what a master says about itself: it is there before anybody looks.
    let replica = async || -> String {
        let mut redis = raw(&old.url()).await;
        redis::cmd("INFO").arg("replication").query_async(&mut redis).await.unwrap()
    };
    while !replica().await.contains("state=online") {}
    let settings = settings(&url);
    let rooms = node_on(&settings);
    let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
    let start = ada.place("broadcast");
    publish(&rooms, &["broadcast"], "e1").await;
    ada.expect("event").await;
    let _: i64 = redis::cmd("WAIT").arg(1).arg(10_000).query_async(&mut on_old).await.unwrap();
    // The name moves; only who listens hears of it.
    redis::cmd("REPLICAOF").arg("NO").arg("ONE").exec_async(&mut on_new).await.unwrap();
    *target.lock().unwrap() = new.addr();
    let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut on_old).await.unwrap();
    let listens = |line: &&str| !line.contains(" ssub=0 ") || !line.contains(" sub=0 ");
    let ears = clients.lines().find(listens).expect("one connection listens");
    let id = ears.split(' ').find_map(|part| part.strip_prefix("id=")).unwrap();
    redis::cmd("CLIENT").arg("KILL").arg("ID").arg(id).exec_async(&mut on_old).await.unwrap();
    let mut epoch = start["epoch"].clone();
    while epoch == start["epoch"] {
        let gap = ada.expect("gap").await;
        if gap["room"] == "broadcast" {
            assert_eq!(gap["offset"], 0);
            epoch = gap["epoch"].clone();
        }
    }
    // What the node publishes from here on is read there, and is on one server only.
    while let Err(error) = rooms.publish(publication(&["broadcast"], "e2")).await {
        assert_eq!(error.kind(), ErrorKind::Backplane);
    }
    loop {
        let frame = ada.next().await;
        if frame["type"] == "event" {
            assert_eq!((&frame["offset"], &frame["event"]["id"]), (&json!(1), &json!("e2")));
            break;
        }
        assert_eq!(frame["type"], "gap", "{frame}");
    }
    let head = format!("{}{{broadcast}}m", settings.prefix);
    for (redis, offset) in [(&mut on_old, "1"), (&mut on_new, "1")] {
        let there: String = redis::cmd("HGET").arg(&head).arg("o").query_async(redis).await.unwrap();
        assert_eq!(there, offset);
    }
    let of: Vec<String> = {
        let mut epochs = Vec::new();
        for redis in [&mut on_old, &mut on_new] {
            epochs.push(redis::cmd("HGET").arg(&head).arg("e").query_async(redis).await.unwrap());
        }
        epochs
    };
    assert_ne!(of[0], of[1], "two servers, two numberings");
}
