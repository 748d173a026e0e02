//! A connection that fails when its peer reads nothing for too long, or too slowly.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::edge::min_rate::{MinRate, Pace};

/// Times the writes of `T`. The timer exists only while a write waits.
#[derive(Debug)]
pub(crate) struct Stall<T> {
    inner: T,
    limit: Duration,
    pace: Option<Pace>,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// Since when not a byte was taken.
    since: Instant,
    /// Since when the wait is not in the pace yet.
    counted: Instant,
    sleep: Pin<Box<Sleep>>,
}

// === impl Stall ===

impl<T> Stall<T> {
    pub(crate) fn new(inner: T, limit: Duration, rate: Option<MinRate>) -> Self {
        Self { inner, limit, pace: rate.map(Pace::new), waiting: None }
    }

    fn judge(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(result) = polled else { return self.wait(cx) };
        let waited = self.waiting.take().map_or(Duration::ZERO, |waiting| waiting.counted.elapsed());
        if let (Some(pace), Ok(count)) = (&mut self.pace, &result)
            && !pace.keeps_up(u64::try_from(*count).unwrap_or(u64::MAX), waited)
        {
            return Poll::Ready(Err(too_slow()));
        }
        Poll::Ready(result)
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let (limit, pace) = (self.limit, &mut self.pace);
        let due = |since: Instant, counted: Instant, pace: &Option<Pace>| {
            let stalled = since + limit;
            pace.as_ref().map_or(stalled, |pace| stalled.min(counted + pace.left()))
        };
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: now,
            counted: now,
            sleep: Box::pin(tokio::time::sleep_until(due(now, now, pace))),
        });
        while waiting.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if waiting.since + limit <= now {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing");
                return Poll::Ready(Err(error));
            }
            if let Some(pace) = pace
                && !pace.keeps_up(0, now - waiting.counted)
            {
                return Poll::Ready(Err(too_slow()));
            }
            waiting.counted = now;
            let due = due(waiting.since, waiting.counted, pace);
            waiting.sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stall<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stall<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.judge(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.judge(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A flush is a write of what is written: a TCP stream has none, and never waits.
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client reads too slowly")
}

#[cfg(test)]
mod tests;
