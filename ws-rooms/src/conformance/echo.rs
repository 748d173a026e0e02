//! A socket for protocol test suites.

use std::future::Future;

use http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::config::Limits;
use crate::refusal::Refusal;
use crate::{session, upgrade};

/// Answers a handshake, and gives the connection that it opens: one that sends each message back, text or binary, by the
/// codec and the `limits` of frames, bytes and pings that connections of rooms have. Nothing else is around it: no token, no
/// origins, no subprotocol (of those that a client names none is chosen), no heartbeat.
///
/// The future is the connection, to be spawned once the response is on its way; its output is the close code. It ends by
/// itself with the client, or with a client that reads nothing for ten seconds; when `shutdown` completes, it closes with
/// 1001 and waits five seconds at most for the answer.
///
/// # Errors
///
/// The [`Refusal`] of what is no handshake, as of [`Rooms::upgrade`](crate::Rooms::upgrade).
///
/// # Cancel safety
///
/// When the future is dropped, the connection ends without a word.
pub fn echo<B, F>(
    mut request: Request<B>,
    limits: &Limits,
    shutdown: F,
) -> Result<(Response<()>, impl Future<Output = u16> + Send + use<B, F>), Refusal>
where
    F: Future<Output = ()> + Send,
{
    let accepted = upgrade::accept(&request, None).map_err(Refusal::upgrade_required)?;
    let handed_over = hyper::upgrade::on(&mut request);
    let limits = limits.clone();
    let connection = async move {
        match timeout(upgrade::HANDOVER, handed_over).await {
            Ok(Ok(io)) => session::echo(TokioIo::new(io), &limits, shutdown).await,
            Ok(Err(_)) | Err(_) => 1006,
        }
    };
    Ok((accepted.response(), connection))
}
