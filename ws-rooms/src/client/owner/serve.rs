//! A session at work on a connection.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::super::dial::Dial;
use super::super::state::{State, StopReason};
use super::super::token::{BoxError, Why};
use super::link::{Later, Link, What};
use super::{BROKEN, Lost, Owner, Stop, bearer};
use crate::auth::Credential;
use crate::error::{Error, ErrorKind};
use crate::protocol::{Authenticated, ErrorFrame, Request, RoomPosition, ServerFrame, Subscribed, Welcome};

/// When to ask again for what is not available, for renewals too; times 0.5 to 1.5, so that a herd spreads.
const LATER: Duration = Duration::from_secs(2);

/// How a connection ended, as far as it is known yet.
struct End {
    code: u16,
    retry_after: Option<Duration>,
    cause: Option<Error>,
    /// The server has said goodbye, and closes.
    heard_out: bool,
}

impl<D: Dial> Owner<D> {
    /// Works until the connection or the session ends.
    pub(super) async fn serve(&mut self, mut link: Link<D::Io>) -> Result<Lost, Stop> {
        let end = self.work(&mut link).await;
        {
            let mut core = self.shared.lock();
            core.book.lost();
            core.questions.lost();
        }
        match end {
            Ok(End { code, retry_after, cause, heard_out }) => {
                metrics::counter!("ws.client.lost", "code" => crate::metrics::code_label(code)).increment(1);
                let open_for = link.welcomed.as_ref().map(|welcomed| welcomed.at.elapsed());
                if heard_out {
                    self.farewell = Some(AbortOnDropHandle::new(tokio::spawn(link.hear_out())));
                }
                Ok(Lost { code, open_for, retry_after, cause })
            }
            Err(stop) => {
                // ORDER: nobody waits for the server's goodbye but who closes.
                self.shared.end(stop.reason);
                link.leave().await;
                Err(stop)
            }
        }
    }

    async fn work(&mut self, link: &mut Link<D::Io>) -> Result<End, Stop> {
        loop {
            let now = Instant::now();
            while let Some(again) = link.again(now) {
                match again {
                    Later::Room(room, refusals) => self.shared.lock().book.again(&room, refusals),
                    Later::Leave(room) => self.shared.lock().book.leave_again(&room),
                    Later::Renew => self.tokens.ask(Why::Renew),
                    Later::Auth(token) => authenticate(link, token, now),
                }
            }
            let expires = self.send_what_is_due(link, now);
            let wakes_at = expires.map_or(link.wakes_at(), |expires| expires.min(link.wakes_at()));
            tokio::select! {
                // ORDER: whoever stops is not kept waiting; then what came, so that silence is judged only when
                // there is silence.
                biased;
                () = self.shared.stop.cancelled() => return Err(Stop::because(StopReason::Closed)),
                text = link.client.exchange(&mut link.out) => match text {
                    Ok(Some(text)) => if let Some(end) = self.frame(link, &text)? {
                        return Ok(end);
                    },
                    Ok(None) => {
                        let code = link.client.close_code().unwrap_or(BROKEN);
                        return Ok(End { code, retry_after: None, cause: None, heard_out: false });
                    }
                    Err(error) => return Ok(End::broken(error)),
                },
                answer = self.tokens.answer() => self.renew_with(link, answer)?,
                () = self.shared.wake.notified() => {}
                () = sleep_until(wakes_at) => if let Some(what) = link.is_dead(Instant::now()) {
                    return Ok(End::broken(Error::with(ErrorKind::Connect, what)));
                },
            }
        }
    }

    /// Sends what is due, as fast as the server allows: rooms first, then questions. Returns when a room is to be left.
    fn send_what_is_due(&self, link: &mut Link<D::Io>, now: Instant) -> Option<Instant> {
        link.turn_at = None;
        let mut core = self.shared.lock();
        core.book.expire(now);
        let expires = core.book.expires();
        while let Some(welcomed) = &mut link.welcomed {
            // ORDER: questions only once every room has been answered, since they are about rooms.
            if !welcomed.open && core.book.settled() {
                welcomed.open = true;
                self.shared.state.send_modify(|state| {
                    if let State::Recovering { user_id, connection_id } = &*state {
                        let (user_id, connection_id) = (user_id.clone(), connection_id.clone());
                        *state = State::Open { user_id, connection_id };
                    }
                });
            }
            let open = welcomed.open;
            if link.is_full() {
                break;
            }
            let Some(welcomed) = &mut link.welcomed else { break };
            let wait = welcomed.pace.wait(now);
            if !wait.is_zero() {
                link.turn_at = Some(now + wait);
                break;
            }
            let (request, what) = if let Some((room, request)) = core.book.next() {
                let what = match request {
                    Request::Unsubscribe { .. } => What::Unsubscribe(room),
                    _ => What::Subscribe(room),
                };
                (request, what)
            } else if let Some((key, room)) = open.then(|| core.questions.next()).flatten() {
                (Request::presence(room.as_str()), What::Presence(key))
            } else {
                break;
            };
            welcomed.pace.take();
            link.ask(&request, what, now);
        }
        expires
    }

    fn frame(&mut self, link: &mut Link<D::Io>, text: &str) -> Result<Option<End>, Stop> {
        let frame = match ServerFrame::parse(text) {
            Ok(frame) => frame,
            // What it told is lost; a new connection recovers it.
            Err(error) => return Ok(Some(End::broken(error))),
        };
        match frame {
            ServerFrame::Goodbye(goodbye) => {
                let retry_after = goodbye.retry_after_ms.map(Duration::from_millis);
                return Ok(Some(End { code: goodbye.code, retry_after, cause: None, heard_out: true }));
            }
            ServerFrame::Welcome(welcome) if link.welcomed.is_none() => self.welcome(link, &welcome),
            _ if link.welcomed.is_none() => {}
            ServerFrame::Event(event) => self.shared.lock().book.event(event),
            ServerFrame::Position(position) => self.shared.lock().book.position(&position),
            ServerFrame::Gap(gap) => self.shared.lock().book.dropped(&gap),
            ServerFrame::Joined(moved) => self.shared.lock().book.moved(moved.room, moved.user_id, true),
            ServerFrame::Left(moved) => self.shared.lock().book.moved(moved.room, moved.user_id, false),
            ServerFrame::Subscribed(frame) => self.subscribed(link, frame),
            ServerFrame::Unsubscribed { id: Some(id), .. } => {
                if let Some(What::Unsubscribe(room)) = link.answered(Some(&id)) {
                    self.shared.lock().book.unsubscribed(room.as_str());
                }
            }
            ServerFrame::Unsubscribed { id: None, room, .. } => {
                self.shared.lock().book.refused(&room, "FORBIDDEN", "this room is no longer open to you");
            }
            ServerFrame::Presence(list) => {
                if let Some(What::Presence(key)) = link.answered(list.id.as_ref()) {
                    self.shared.lock().questions.answered(key, &Ok(list.into()));
                }
            }
            ServerFrame::Authenticated(Authenticated { id, rooms, .. }) => {
                if let Some(What::Auth(_)) = link.answered(id.as_ref()) {
                    link.renewing = false;
                    self.shared.lock().book.given(&rooms);
                }
            }
            ServerFrame::Error(error) => self.failed(link, error)?,
            ServerFrame::Ping { expires_at: Some(_) } if !link.renewing => {
                link.renewing = true;
                self.tokens.ask(Why::Renew);
            }
            // Signs of life, a second welcome, and what a newer server may say.
            ServerFrame::Ping { .. }
            | ServerFrame::Pong
            | ServerFrame::Welcome(_)
            | ServerFrame::Unknown(_) => {}
        }
        Ok(None)
    }

    fn welcome(&self, link: &mut Link<D::Io>, welcome: &Welcome) {
        metrics::counter!("ws.client.opened").increment(1);
        let heartbeat = Duration::from_secs(welcome.heartbeat_seconds);
        link.welcome(heartbeat, welcome.limits.messages_per_second, Instant::now());
        let (user_id, connection_id) =
            (welcome.user_id.as_str().into(), welcome.connection_id.as_str().into());
        self.shared.state.send_replace(State::Recovering { user_id, connection_id });
        self.shared.lock().book.welcome(&welcome.rooms);
    }

    fn subscribed(&self, link: &mut Link<D::Io>, frame: Subscribed) {
        let mut core = self.shared.lock();
        if frame.id.is_none() {
            let Subscribed { room, epoch, offset, .. } = frame;
            core.book.given(&[RoomPosition { room, epoch, offset }]);
        } else if let Some(What::Subscribe(_)) = link.answered(frame.id.as_ref()) {
            core.book.subscribed(frame);
        }
    }

    fn failed(&mut self, link: &mut Link<D::Io>, error: ErrorFrame) -> Result<(), Stop> {
        let Some(what) = link.answered(error.id.as_ref()) else {
            tracing::debug!(code = error.code, message = error.message, "the server refused a frame");
            return Ok(());
        };
        let later = Instant::now() + LATER.mul_f64(0.5 + (self.draw)());
        match what {
            What::Subscribe(room) if error.retry => {
                if let Some(refusals) = self.shared.lock().book.postponed(&room) {
                    link.later(later, Later::Room(room, refusals));
                }
            }
            What::Subscribe(room) => {
                self.shared.lock().book.refused(room.as_str(), &error.code, &error.message);
            }
            What::Unsubscribe(room) => {
                // Else the server goes on sending what nobody listens to.
                if error.retry && self.shared.lock().book.left_later(&room) {
                    link.later(later, Later::Leave(room));
                }
            }
            What::Presence(key) => self.shared.lock().questions.answered(key, &Err(error)),
            What::Auth(token) if error.retry => link.later(later, Later::Auth(token)),
            What::Auth(_) => match error.code.as_str() {
                "TOKEN_EXPIRED" => link.later(later, Later::Renew),
                "TOKEN_REVOKED" => return Err(Stop::because(StopReason::Revoked)),
                // Another user's token: this connection must not go on in a name that is no longer right.
                "FORBIDDEN" => return Err(Stop::because(StopReason::Forbidden)),
                _ => return Err(Stop::because(StopReason::Unauthenticated)),
            },
        }
        Ok(())
    }

    /// Renews the connection in place. Whatever fails for good ends it; else the token's end does, and 4201 follows.
    fn renew_with(
        &mut self,
        link: &mut Link<D::Io>,
        answer: Result<Option<Credential>, BoxError>,
    ) -> Result<(), Stop> {
        let now = Instant::now();
        match answer {
            Err(error) => {
                tracing::debug!(error, "no credential for a renewal");
                link.later(now + LATER.mul_f64(0.5 + (self.draw)()), Later::Renew);
            }
            Ok(None) => return Err(Stop::because(StopReason::SignedOut)),
            Ok(Some(credential)) => {
                // The same one would be good no longer than it is: 4201 asks for another.
                if credential != link.credential
                    && let Some(token) = bearer(&credential)
                {
                    authenticate(link, token.to_owned(), now);
                    link.credential = credential;
                }
            }
        }
        Ok(())
    }
}

/// Does not wait for its turn: it is one message, and the pace leaves room for it.
fn authenticate<S>(link: &mut Link<S>, token: String, now: Instant)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    link.ask(&Request::auth(token.as_str()), What::Auth(token), now);
}

// === impl End ===

impl End {
    fn broken(cause: Error) -> Self {
        Self { code: BROKEN, retry_after: None, cause: Some(cause), heard_out: false }
    }
}
