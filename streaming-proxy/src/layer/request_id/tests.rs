//! Tests of request ids.

use std::convert::Infallible;

use http::StatusCode;
use tower::ServiceExt;

use super::*;

/// The ids that the service saw and that its client sees, when the request came with `ids`.
async fn through(ids: &[&str]) -> (Vec<String>, Vec<String>) {
    let texts = |headers: &HeaderMap| {
        let ids = headers.get_all(X_REQUEST_ID).iter();
        ids.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned()).collect::<Vec<_>>()
    };
    let service = tower::service_fn(async |request: Request<()>| {
        let mut response = Response::new(texts(request.headers()));
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().append(X_REQUEST_ID, HeaderValue::from_static("the-upstreams"));
        Ok::<_, Infallible>(response)
    });
    let mut request = Request::new(());
    for id in ids {
        request.headers_mut().append(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
    }
    let response = RequestIdLayer::new().layer(service).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let told = texts(response.headers());
    (response.into_body(), told)
}

#[tokio::test]
async fn a_good_id_is_kept_and_all_else_replaced() {
    let long = "a".repeat(MAX_LENGTH);
    for id in ["r1", "A.b_c-9", &long] {
        assert_eq!(through(&[id]).await, (vec![id.to_owned()], vec![id.to_owned()]), "{id}");
    }
    let too_long = "a".repeat(MAX_LENGTH + 1);
    let mut made = Vec::new();
    for ids in [&[][..], &[""], &["a b"], &["caf\u{e9}"], &[&too_long], &["a", "a"], &["a,b"]] {
        let (seen, told) = through(ids).await;
        assert_eq!(seen, told, "{ids:?}");
        let [id] = seen.as_slice() else { panic!("{seen:?}") };
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        made.push(id.clone());
    }
    made.sort_unstable();
    made.dedup();
    assert_eq!(made.len(), 7);
}
