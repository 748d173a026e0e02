//! Tests of [`Upload`]: what becomes of the body of a client of HTTP/2 that does not end as it should.

use std::convert::Infallible;

use h2::Reason;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;

use super::*;

/// The body of a request as hyper's server has it, and the client's side of it.
struct Begun {
    body: Incoming,
    stream: h2::SendStream<Bytes>,
    client: tokio::task::JoinHandle<()>,
}

/// A request of which the head and `some` have been sent.
async fn begun(length: Option<u64>) -> Begun {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (pass, mut passed) = mpsc::channel(1);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let sent = pass.try_send(request);
        async move {
            sent.unwrap();
            std::future::pending::<Result<Response<String>, Infallible>>().await
        }
    });
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    tokio::spawn(server.serve_connection(TokioIo::new(ours), service));
    let (mut send, connection) = h2::client::handshake(theirs).await.unwrap();
    let client = tokio::spawn(async move {
        let _ = connection.await;
    });
    let mut request = Request::post("http://a.example/").body(()).unwrap();
    if let Some(length) = length {
        request.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    }
    let (answer, mut stream) = send.send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"some"), false).unwrap();
    let request = passed.recv().await.unwrap();
    assert_eq!(request.version(), Version::HTTP_2);
    // Dropping it would cancel the request.
    tokio::spawn(answer);
    Begun { body: request.into_body(), stream, client }
}

async fn next(upload: &mut Upload) -> Option<Result<Bytes, ErrorKind>> {
    let frame = upload.frame().await?;
    Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.kind()))
}

#[tokio::test]
async fn a_client_that_resets_its_stream_has_left() {
    // RFC 9113, 8.1 lets a server say NO_ERROR after its whole answer. A client that says so in the middle of its request
    // has not ended it, and half of a body must not pass for the whole.
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let Begun { body, mut stream, .. } = begun(None).await;
        let mut upload = Upload::new(body, Version::HTTP_2);
        assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"some"))));
        stream.send_reset(reason);
        assert_eq!(next(&mut upload).await, Some(Err(ErrorKind::ClientGone)), "{reason:?}");
        let progress = upload.progress().unwrap();
        assert!(!progress.is_done() && progress.fault() == Some(ErrorKind::ClientGone));
    }
}

#[tokio::test]
async fn a_client_whose_connection_ends_has_left() {
    let Begun { body, client, .. } = begun(None).await;
    let mut upload = Upload::new(body, Version::HTTP_2);
    assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"some"))));
    client.abort();
    assert_eq!(next(&mut upload).await, Some(Err(ErrorKind::ClientGone)));
}

#[tokio::test]
async fn a_length_tells_where_a_layer_hides_the_stream() {
    // Scenario: a layer has made the body one of its own, of which only the length is known.
    let Begun { body, mut stream, .. } = begun(Some(10)).await;
    let mut upload = Upload::new(Limited::new(body, 100), Version::HTTP_2);
    assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"some"))));
    stream.send_reset(Reason::NO_ERROR);
    assert_eq!(next(&mut upload).await, Some(Err(ErrorKind::ClientGone)));
}

#[tokio::test]
async fn a_body_that_is_not_its_length_is_malformed() {
    let Begun { body, mut stream, .. } = begun(Some(5)).await;
    let mut upload = Upload::new(body, Version::HTTP_2);
    assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"some"))));
    stream.send_data(Bytes::from_static(b"more"), true).unwrap();
    assert_eq!(next(&mut upload).await, Some(Err(ErrorKind::ClientBody)), "it is there, and wrong");
}

#[tokio::test]
async fn a_body_that_ends_is_whole() {
    for length in [None, Some(8)] {
        for hidden in [false, true] {
            let Begun { body, mut stream, .. } = begun(length).await;
            let mut upload = match hidden {
                true => Upload::new(body.map_err(BoxError::from), Version::HTTP_2),
                false => Upload::new(body, Version::HTTP_2),
            };
            assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"some"))));
            stream.send_data(Bytes::from_static(b"more"), true).unwrap();
            assert_eq!(next(&mut upload).await, Some(Ok(Bytes::from_static(b"more"))));
            assert_eq!(next(&mut upload).await, None);
            assert!(upload.progress().unwrap().is_done());
        }
    }
}
