//! A client of HTTP/2, and what it sees of an answer.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::origin::soon;

/// One connection.
pub(crate) struct H2 {
    pub(crate) send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct H2Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl H2 {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::with(addr, &Builder::new()).await
    }

    pub(crate) async fn with(addr: SocketAddr, builder: &Builder) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream, builder).await
    }

    pub(crate) async fn over<S>(stream: S, builder: &Builder) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) = soon("handshake", builder.handshake(stream)).await.unwrap();
        Self { send, driver: tokio::spawn(connection) }
    }

    /// Begins a request; its body, if it has one, is the second half.
    pub(crate) async fn begin(
        &self,
        request: Request<()>,
        has_body: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = soon("room for a stream", self.send.clone().ready()).await.unwrap();
        send.send_request(request, !has_body).unwrap()
    }

    /// A request without a body, and its answer.
    pub(crate) async fn try_ask(&self, request: Request<()>) -> Result<H2Answer, h2::Error> {
        let (answer, _) = self.begin(request, false).await;
        try_whole(answer).await
    }

    pub(crate) async fn ask(&self, request: Request<()>) -> H2Answer {
        self.try_ask(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> H2Answer {
        self.ask(request("GET", path)).await
    }

    /// A request with a body in pieces, and trailers if there are any.
    pub(crate) async fn upload(
        &self,
        request: Request<()>,
        body: &[&[u8]],
        trailers: Option<HeaderMap>,
    ) -> H2Answer {
        let (answer, mut stream) = self.begin(request, true).await;
        for (place, piece) in body.iter().enumerate() {
            let is_end = trailers.is_none() && place + 1 == body.len();
            send_all(&mut stream, Bytes::copy_from_slice(piece), is_end).await;
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).unwrap();
        }
        try_whole(answer).await.unwrap()
    }
}

impl Drop for H2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl H2Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

/// A request as clients write it: with an authority of its own.
pub(crate) fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a.example{path}")).body(()).unwrap()
}

pub(crate) fn with(request: Request<()>, fields: &[(&'static str, &str)]) -> Request<()> {
    let (mut parts, ()): (Parts, ()) = request.into_parts();
    for (name, value) in fields {
        parts.headers.append(*name, value.parse().unwrap());
    }
    Request::from_parts(parts, ())
}

/// Sends within the window, waiting for it. An empty piece is sent as one.
pub(crate) async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes, is_end: bool) {
    if data.is_empty() {
        stream.send_data(data, is_end).unwrap();
        return;
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room =
            soon("window", std::future::poll_fn(|cx| stream.poll_capacity(cx))).await.unwrap().unwrap();
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, is_end && data.is_empty()).unwrap();
    }
}

pub(crate) async fn try_whole(answer: ResponseFuture) -> Result<H2Answer, h2::Error> {
    let (parts, mut stream) = soon("a head", answer).await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = next(&mut stream).await {
        body.extend_from_slice(&piece?);
    }
    let trailers = soon("trailers", stream.trailers()).await?;
    Ok(H2Answer { status: parts.status, headers: parts.headers, body, trailers })
}

/// The next piece, whose window is given back.
pub(crate) async fn next(stream: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = soon("a piece", stream.data()).await?;
    if let Ok(piece) = &piece {
        stream.flow_control().release_capacity(piece.len()).unwrap();
    }
    Some(piece)
}
