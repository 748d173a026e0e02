//! The least that hyper can do: its connections on both sides, and a vector of idle ones in each thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Either;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// As many idle connections as all of the others keep.
const MAX_IDLE: usize = 64;

/// The idle connections of a thread, the last one used first.
#[derive(Clone)]
struct Pool {
    upstream: SocketAddr,
    idle: Rc<RefCell<Vec<SendRequest<Incoming>>>>,
}

fn main() -> anyhow::Result<()> {
    bare::run(
        |args| Pool { upstream: args.upstream, idle: Rc::default() },
        async |client, peer, pool| {
            let service = service_fn(|mut request| {
                let pool = pool.clone();
                async move {
                    bare::request(request.headers_mut(), peer.ip());
                    Ok::<_, std::convert::Infallible>(pool.forward(request).await.unwrap_or_else(|_| {
                        let mut failed = Response::new(Either::Right(http_body_util::Empty::new()));
                        *failed.status_mut() = http::StatusCode::BAD_GATEWAY;
                        failed
                    }))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(client), service)
                .await;
        },
    )
}

type Answer = Response<Either<Returning, http_body_util::Empty<Bytes>>>;

impl Pool {
    async fn forward(&self, request: Request<Incoming>) -> anyhow::Result<Answer> {
        let mut sender = self.sender().await?;
        let mut response = sender.send_request(request).await?;
        bare::response(response.headers_mut());
        Ok(response.map(|body| Either::Left(Returning { body, sender: Some(sender), pool: self.clone() })))
    }

    async fn sender(&self) -> anyhow::Result<SendRequest<Incoming>> {
        while let Some(mut idle) = self.take() {
            if idle.ready().await.is_ok() {
                return Ok(idle);
            }
        }
        let stream = TcpStream::connect(self.upstream).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }

    fn take(&self) -> Option<SendRequest<Incoming>> {
        self.idle.borrow_mut().pop()
    }
}

/// A body whose connection goes back at its end.
struct Returning {
    body: Incoming,
    sender: Option<SendRequest<Incoming>>,
    pool: Pool,
}

impl Returning {
    fn give_back(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
    }
}

impl Body for Returning {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.give_back();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        // An empty body is never polled.
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}
