//! How long a head may be.

use tramline_streaming_proxy::server::ServerConfig;

use crate::client::once;
use crate::origin::Bare;

#[tokio::test]
async fn a_target_that_is_too_long_is_414() {
    let mut config = ServerConfig::default();
    config.max_uri = 20;
    let Bare { addr, .. } = &Bare::new(config).await;
    let status = async |target: &str| {
        let answer = once(*addr, &format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        if answer.status == 414 {
            assert_eq!(answer.code(), "URI_TOO_LONG");
            // Nobody has looked at its framing.
            assert_eq!(answer.header("connection"), Some("close"));
        }
        answer.status
    };
    assert_eq!(status("/345678901234567890").await, 200);
    assert_eq!(status("/34567890?23456789012").await, 414);
    assert_eq!(status("http://a.example/2345").await, 414, "the absolute form counts whole");
}

#[tokio::test]
async fn more_fields_than_allowed_are_431() {
    let mut config = ServerConfig::default();
    config.max_headers = 4;
    let Bare { addr, .. } = &Bare::new(config).await;
    for (fields, status) in [(3, 200), (4, 431)] {
        let fields = "X: y\r\n".repeat(fields);
        assert_eq!(once(*addr, &format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await.status, status);
    }
}
