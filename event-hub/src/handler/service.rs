//! A handler as a `tower` service.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tower_service::Service;

use crate::handler::{BoxError, Handler, Outcome, Received};

/// A [`Handler`] as a `tower` service; clones share the handler.
pub struct HandlerService<H, M> {
    handler: Arc<H>,
    marker: PhantomData<fn() -> M>,
}

// === impl HandlerService ===

impl<H, M> HandlerService<H, M> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler: Arc::new(handler), marker: PhantomData }
    }
}

impl<H, M> Clone for HandlerService<H, M> {
    fn clone(&self) -> Self {
        Self { handler: Arc::clone(&self.handler), marker: PhantomData }
    }
}

impl<H, M> fmt::Debug for HandlerService<H, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

impl<H: Handler<M>, M: 'static> Service<Received> for HandlerService<H, M> {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, received: Received) -> Self::Future {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move { handler.handle(received).await })
    }
}
