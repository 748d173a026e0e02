//! Headers of balancers, in front of all else on a connection.

use std::net::SocketAddr;
use std::time::Duration;

use tramline_streaming_proxy::TrustedProxies;
use tramline_streaming_proxy::edge::proxy_protocol::{Others, ProxyProtocol};
use tramline_streaming_proxy::server::ServerConfig;

use crate::client::{Answer, Client};
use crate::origin::{Bare, soon};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn config(protocol: ProxyProtocol) -> ServerConfig {
    let mut config = ServerConfig::default();
    config.proxy_protocol = Some(protocol);
    config
}

/// A server behind fronts on this machine.
async fn fronted() -> Bare {
    Bare::new(config(ProxyProtocol::new(TrustedProxies::loopback()))).await
}

/// A header of version 2, with this command and family.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// What comes for these bytes, sent at once. `None`: the connection is closed without an answer.
async fn sent(front: &Bare, bytes: &[&[u8]]) -> Option<Answer> {
    let mut client = Client::connect(front.addr).await;
    client.send(bytes.concat()).await;
    soon("answer or end", client.try_answer()).await
}

#[tokio::test]
async fn the_client_is_the_one_that_the_header_names() {
    let front = fronted().await;
    let ipv4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 1, 187];
    let mut with_tlvs = ipv4.to_vec();
    // NOOP (specification, 2.2.2), longer than one read.
    with_tlvs.extend([4, 0x40, 0]);
    with_tlvs.extend([0; 0x4000]);
    let mut ipv6 = Vec::new();
    ipv6.extend("2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    ipv6.extend([0; 16]);
    ipv6.extend([0x1f, 0x90, 1, 187]);
    for (header, client) in [
        (b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n".to_vec(), "203.0.113.9:8080"),
        (b"PROXY TCP6 2001:db8::9 ::1 8080 443\r\n".to_vec(), "[2001:db8::9]:8080"),
        (v2(0x21, 0x11, &ipv4), "203.0.113.9:8080"),
        (v2(0x21, 0x11, &with_tlvs), "203.0.113.9:8080"),
        (v2(0x21, 0x21, &ipv6), "[2001:db8::9]:8080"),
    ] {
        let mut connection = Client::connect(front.addr).await;
        // Two requests with the header: nothing of them is taken for a part of it.
        connection.send([&header, GET, GET].concat()).await;
        for _ in 0..2 {
            assert_eq!(connection.answer().await.text(), client);
        }
    }
}

#[tokio::test]
async fn a_header_in_pieces_is_read() {
    let front = fronted().await;
    let ipv4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 1, 187, 4, 0, 1, 0];
    for header in [b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n".to_vec(), v2(0x21, 0x11, &ipv4)] {
        let mut connection = Client::connect(front.addr).await;
        for byte in header.iter().chain(GET) {
            connection.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(connection.answer().await.text(), "203.0.113.9:8080");
    }
}

#[tokio::test]
async fn what_names_nobody_is_the_fronts_own() {
    let front = fronted().await;
    let own = |answer: Option<Answer>| {
        let client: SocketAddr = answer.unwrap().text().parse().unwrap();
        client.ip().is_loopback()
    };
    let ipv4 = [203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 1, 187];
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 203.0.113.9 10.0.0.1 8080 443\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &ipv4),
        v2(0x21, 0x00, &[]),
        v2(0x21, 0x31, &[b'/'; 216]),
    ] {
        assert!(own(sent(&front, &[&header, GET]).await), "{header:?}");
    }
}

#[tokio::test]
async fn without_a_good_header_a_front_is_not_served() {
    let front = fronted().await;
    for header in [
        b"".to_vec(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 8080\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\n".to_vec(),
        [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat(),
        v2(0x11, 0x11, &[0; 12]),
        v2(0x21, 0x11, &[0; 11]),
        v2(0x21, 0x51, &[0; 12]),
    ] {
        assert!(sent(&front, &[&header, GET]).await.is_none(), "{header:?}");
    }
}

#[tokio::test]
async fn nobody_else_may_say_who_he_is() {
    let elsewhere: TrustedProxies = "192.0.2.0/24".parse().unwrap();
    let header = b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n";
    let refusing = Bare::new(config(ProxyProtocol::new(elsewhere.clone()))).await;
    assert!(sent(&refusing, &[GET]).await.is_none());
    assert!(sent(&refusing, &[header, GET]).await.is_none());

    let mut serving = ProxyProtocol::new(elsewhere);
    serving.others = Others::Serve;
    let serving = Bare::new(config(serving)).await;
    let answer = sent(&serving, &[GET]).await.unwrap();
    assert!(answer.text().starts_with("127.0.0.1:"), "{}", answer.text());
    assert_eq!(sent(&serving, &[header, GET]).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_header_that_stalls_is_cut() {
    let mut protocol = ProxyProtocol::new(TrustedProxies::loopback());
    protocol.timeout = Duration::from_millis(30);
    let front = Bare::new(config(protocol)).await;
    let endless = v2(0x21, 0x11, &[0; 60000]);
    for bytes in [b"".as_slice(), b"PROXY ", b"PROXY TCP4 203.0.113.9 1", &endless[..14], &endless[..5000]] {
        let mut connection = Client::connect(front.addr).await;
        connection.send(bytes).await;
        assert!(connection.is_ended().await, "{}", bytes.len());
    }
}

#[tokio::test]
async fn a_drain_waits_for_no_header() {
    let mut protocol = ProxyProtocol::new(TrustedProxies::loopback());
    protocol.timeout = Duration::from_secs(1000);
    let mut front = Bare::new(config(protocol)).await;
    let mut silent = Client::connect(front.addr).await;
    // Connections are accepted in order: this one shows that the silent one was.
    assert_eq!(sent(&front, &[b"PROXY UNKNOWN\r\n", GET]).await.unwrap().status, 200);
    front.stop.take();
    assert!(silent.is_ended().await);
    soon("drained", &mut front.server).await.unwrap();
}

#[tokio::test]
async fn places_are_those_of_the_clients_behind_a_front() {
    let mut config = config(ProxyProtocol::new(TrustedProxies::loopback()));
    config.max_connections_per_address = Some(1);
    let front = Bare::new(config).await;
    let mut open = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2"] {
        let mut connection = Client::connect(front.addr).await;
        connection.send(format!("PROXY TCP4 {client} 10.0.0.1 8080 443\r\n")).await;
        connection.send(GET).await;
        assert_eq!(connection.answer().await.status, 200);
        open.push(connection);
    }
    assert!(sent(&front, &[b"PROXY TCP4 203.0.113.2 10.0.0.1 8081 443\r\n", GET]).await.is_none());
}
