//! The shared servers.

use devkit::engines;
use tokio::net::TcpStream;

#[tokio::test]
async fn all_callers_get_the_same_server() {
    let (one, other) = tokio::join!(engines::redis(), engines::redis());
    let (Some(one), Some(other)) = (one, other) else { return };
    assert_eq!(one, other);
    let addr = one.strip_prefix("redis://").unwrap().trim_end_matches('/');
    assert!(TcpStream::connect(addr).await.is_ok());
}

#[tokio::test]
async fn every_database_is_a_fresh_one() {
    let (one, other) = tokio::join!(engines::fresh_database(), engines::fresh_database());
    let (Some(one), Some(other)) = (one, other) else { return };
    assert_ne!(one, other);
    assert!(one.starts_with("postgres://"), "{one}");
}

#[tokio::test]
async fn the_broker_is_named_by_a_url() {
    let Some(url) = engines::amqp().await else { return };
    assert!(url.starts_with("amqp://") && url.ends_with("/%2f"), "{url}");
}

#[tokio::test]
async fn every_virtual_host_is_a_fresh_one() {
    let (one, other) = tokio::join!(engines::fresh_vhost(), engines::fresh_vhost());
    let (Some(one), Some(other)) = (one, other) else { return };
    assert_ne!(one, other);
    let (server, name) = one.rsplit_once('/').unwrap();
    assert_eq!(Some(server), engines::amqp().await.unwrap().strip_suffix("/%2f"));
    assert!(name.starts_with("test-"), "{one}");
}
