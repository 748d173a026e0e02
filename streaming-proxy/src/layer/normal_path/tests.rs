//! Tests of the layer.

use tower::ServiceExt;

use super::*;
use crate::error::ErrorKind;

async fn seen(target: &str) -> Result<String, ErrorKind> {
    let service =
        tower::service_fn(async |request: Request<()>| Ok::<_, ProxyError>(request.uri().to_string()));
    let mut request = Request::new(());
    *request.uri_mut() = target.parse().unwrap();
    NormalPathLayer::new().layer(service).oneshot(request).await.map_err(|error| error.kind())
}

#[tokio::test]
async fn layers_behind_see_one_spelling() {
    for (target, wanted) in [
        ("/api/x?q=%61", "/api/x?q=%61"),
        ("//%61pi//login?q=%61//", "/api/login?q=%61//"),
        ("/a%2fb", "/a%2Fb"),
        ("http://shop.example:81/%61?x", "http://shop.example:81/a?x"),
        ("*", "*"),
    ] {
        assert_eq!(seen(target).await.as_deref(), Ok(wanted), "{target}");
    }
    for target in ["/a/../b", "/a/%2e%2E", "/a%5cb", "/%zz"] {
        assert_eq!(seen(target).await, Err(ErrorKind::BadRequest), "{target}");
    }
}
