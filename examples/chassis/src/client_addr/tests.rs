//! Tests of [`ClientAddr`].

use super::*;

async fn client(trusted: Option<&str>, peer: Option<&str>) -> String {
    let (mut parts, ()) =
        http::Request::get("/").header("x-forwarded-for", "6.6.6.6, 1.1.1.1").body(()).unwrap().into_parts();
    if let Some(peer) = peer {
        parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4000)));
    }
    if let Some(trusted) = trusted {
        parts.extensions.insert(trusted.parse::<TrustedProxies>().unwrap());
    }
    let Ok(ClientAddr(addr)) = ClientAddr::from_request_parts(&mut parts, &()).await;
    addr.to_string()
}

#[tokio::test]
async fn only_what_a_trusted_proxy_wrote_counts() {
    assert_eq!(client(Some("10.0.0.0/8"), Some("10.0.0.1")).await, "1.1.1.1");
    assert_eq!(client(Some("10.0.0.0/8"), Some("9.9.9.9")).await, "9.9.9.9");
    assert_eq!(client(Some("none"), Some("9.9.9.9")).await, "9.9.9.9");
}

#[tokio::test]
async fn without_the_shell_it_is_the_peer_or_nobody() {
    assert_eq!(client(None, Some("10.0.0.1")).await, "10.0.0.1");
    assert_eq!(client(None, None).await, "0.0.0.0");
}
