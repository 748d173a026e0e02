//! A Redis that speaks TLS.

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
    let known = RedisConfig { authorities: Some(certificate.into()), ..config(&url) };
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
        let node = Node::new(&RedisConfig { authorities, ..known.clone() });
        assert!(matches!(node.tier.read(&slot).await, Found::Away));
        assert!(node.errors() > 0);
    }
}
