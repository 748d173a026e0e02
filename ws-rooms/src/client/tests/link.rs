//! What a link that takes nothing any more still says.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};

use crate::client::connection::Client;
use crate::error::ErrorKind;

/// Takes nothing; what was said before comes a moment later, as from a kernel that has not been asked yet.
struct Broken {
    says: Vec<u8>,
    /// Whether the other side has closed.
    over: bool,
    asked: bool,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.asked, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.says.is_empty() && !self.over {
            return Poll::Pending;
        }
        to.put_slice(&std::mem::take(&mut self.says));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_code_counts_though_our_write_failed_first() {
    // A ping on the way: its pong cannot be sent either.
    let mut says = vec![0x81, 2, b'{', b'}', 0x89, 0];
    says.extend([0x88, 2]);
    says.extend(4_200_u16.to_be_bytes());
    // The last one leaves the link open afterwards.
    for over in [true, false] {
        let mut client = Client::over(Broken { says: says.clone(), over, asked: false }).await;
        let mut out = VecDeque::from(["{}".to_owned()]);
        assert_eq!(client.exchange(&mut out).await.unwrap().as_deref(), Some("{}"));
        assert_eq!(client.exchange(&mut out).await.unwrap(), None);
        assert_eq!(client.close_code(), Some(4_200));
    }
}

#[tokio::test(start_paused = true)]
async fn who_sends_on_such_a_link_is_told() {
    let mut client = Client::over(Broken { says: Vec::new(), over: false, asked: false }).await;
    assert_eq!(client.send_text("{}").await.unwrap_err().kind(), ErrorKind::Protocol);
    assert_eq!(client.close().await.unwrap_err().kind(), ErrorKind::Protocol);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_and_says_nothing_is_given_up_in_a_second() {
    for over in [true, false] {
        let start = Instant::now();
        let mut client = Client::over(Broken { says: Vec::new(), over, asked: false }).await;
        let error = client.exchange(&mut VecDeque::from(["{}".to_owned()])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert_eq!(start.elapsed(), if over { Duration::ZERO } else { Duration::from_secs(1) });
        assert_eq!(client.close_code(), None);
    }
}
