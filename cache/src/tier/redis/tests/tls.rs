//! A Redis that speaks TLS.

#[cfg(feature = "redis-cluster")]
use devkit::RedisCluster;
use devkit::RedisSentinels;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::*;
use crate::tier::suite::{Ear, filled, name, payload};

fn made() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_whom_the_authorities_know_is_trusted() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let (certificate, key) = made();
    let (server, url) = devkit::Redis::start_tls(&certificate, &key).await.unwrap();
    let known = RedisConfig { root_certificates: Some(certificate.into()), ..config(&url) };
    let (a, b) = (Node::new(&known), Node::new(&known));
    let slot = slot();
    let (mut ear, _) = Ear::on(&b.tier).await;
    filled(&a.tier, &slot, "said in secret").await;
    assert_eq!(payload(&b.tier, &slot).await.as_deref(), Some("said in secret"));
    assert_eq!(ear.ended().await.0, Ending::Key(slot.clone()));
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert_eq!(ear.ended().await.0, Ending::Mark(name("x")));
    assert_eq!((a.errors(), b.errors()), (0, 0));
    let mut raw = Raw::new(&server.url()).await;
    let mut clients: String = raw.say("CLIENT LIST").await;
    clients.retain(|letter| letter != '\n');
    assert!(clients.contains(&url["rediss://".len()..]), "by the port for TLS: {clients}");

    let strangers = [None, Some(made().0.into())];
    for authorities in strangers {
        let node = Node::new(&RedisConfig { root_certificates: authorities, ..known.clone() });
        assert!(matches!(node.tier.read(&slot).await, Found::Away));
        assert!(node.errors() > 0);
    }
}

/// What is written, read and ended by way of these servers, and that strangers are not.
async fn in_secret(servers: RedisConfig, certificate: String) -> [Node; 2] {
    let known = named(RedisConfig { root_certificates: Some(certificate.into()), ..servers });
    let nodes = [Node::new(&known), Node::new(&known)];
    let [a, b] = &nodes;
    let (mut ear, _) = Ear::on(&b.tier).await;
    for slot in (0..60).map(|_| slot()) {
        filled(&a.tier, &slot, "said in secret").await;
        assert_eq!(payload(&b.tier, &slot).await.as_deref(), Some("said in secret"));
        assert_eq!(ear.ended().await.0, Ending::Key(slot.clone()));
    }
    a.tier.end(&Ending::Mark(name("x"))).await;
    assert_eq!(ear.ended().await.0, Ending::Mark(name("x")));
    assert_eq!((a.errors(), b.errors()), (0, 0));
    let stranger = Node::new(&RedisConfig { root_certificates: Some(made().0.into()), ..known });
    assert!(matches!(stranger.tier.read(&slot()).await, Found::Away));
    nodes
}

/// All who speak with each other do so by TLS, and it is the master of after a failover, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_their_master_are_asked_in_secret() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let (certificate, key) = made();
    let watched = RedisSentinels::start_tls(&certificate, &key).await.unwrap();
    assert!(watched.urls().iter().all(|url| url.starts_with("rediss://")));
    let master = format!("rediss://{}", RedisSentinels::MASTER);
    let [a, b] = in_secret(RedisConfig::sentinel(watched.urls(), master), certificate).await;
    let late = slot();
    filled(&a.tier, &late, "old").await;
    watched.servers()[0].kill().await;
    until(async || matches!(a.tier.read(&late).await, Found::Away)).await;
    a.tier.end(&Ending::Key(late.clone())).await;
    watched.failed_over().await.unwrap();
    assert!(matches!(first(&a, &late).await, Found::Nothing));
    filled(&a.tier, &late, "new").await;
    until(async || payload(&b.tier, &late).await.as_deref() == Some("new")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[cfg(feature = "redis-cluster")]
async fn a_cluster_is_asked_in_secret() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let (certificate, key) = made();
    let cluster = RedisCluster::start_tls(3, &certificate, &key).await.unwrap();
    assert!(cluster.urls().iter().all(|url| url.starts_with("rediss://")));
    in_secret(RedisConfig::cluster(cluster.urls()), certificate).await;
    for node in cluster.nodes() {
        let mut raw = Raw::new(&node.url()).await;
        assert!(raw.say::<u32>("DBSIZE").await > 0, "each of them has its part");
    }
}
