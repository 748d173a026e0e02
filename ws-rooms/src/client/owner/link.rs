//! One connection: what was asked on it, and when something is due.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::super::connection::Client;
use super::super::pace::Pace;
use crate::auth::Credential;
use crate::protocol::{Request, RoomId};

/// Unanswered requests at once: a quarter of what the server keeps, which works on one after another.
const WINDOW: usize = 8;
/// An answer that takes longer will not come; above [`WINDOW`] times a slow authority's 5 s.
const ANSWER: Duration = Duration::from_secs(60);
/// Beyond the server's own rhythm, for a slow network.
const SLACK: Duration = Duration::from_secs(10);
/// The longest rhythm that a server may announce: no server is silent for a day.
const RHYTHM: Duration = Duration::from_secs(24 * 60 * 60);
/// How long both sides may take to close.
const CLOSING: Duration = Duration::from_secs(5);

/// A connection, from its handshake to its end.
pub(super) struct Link<S> {
    pub(super) client: Client<S>,
    /// What it was opened or last renewed with.
    pub(super) credential: Credential,
    /// When the welcome must have come.
    opening_until: Instant,
    pub(super) welcomed: Option<Welcomed>,
    asked: VecDeque<Asked>,
    ids: u64,
    /// What the socket has not taken: no more than [`WINDOW`] requests and a renewal.
    pub(super) out: VecDeque<String>,
    /// Until the next message's turn.
    pub(super) turn_at: Option<Instant>,
    /// One for each room that is not to be had or left now, and one renewal.
    later: Vec<(Instant, Later)>,
    /// It is being renewed, or was with the token that it had: then nothing but its end helps.
    pub(super) renewing: bool,
}

/// What is known since the welcome.
pub(super) struct Welcomed {
    pub(super) at: Instant,
    /// Silence that means death.
    silence: Duration,
    pub(super) pace: Pace,
    /// Every room has been answered.
    pub(super) open: bool,
}

struct Asked {
    id: u64,
    at: Instant,
    what: What,
}

/// What an answer is for.
pub(super) enum What {
    Subscribe(RoomId),
    Unsubscribe(RoomId),
    /// A question, by its key.
    Presence(u64),
    Auth(String),
}

/// What is tried again.
pub(super) enum Later {
    /// A room, and how often it was refused.
    Room(RoomId, u32),
    /// To leave a room.
    Leave(RoomId),
    /// Another token.
    Renew,
    /// The same token.
    Auth(String),
}

// === impl Link ===

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    pub(super) fn new(client: Client<S>, credential: Credential, opening_until: Instant) -> Self {
        Self {
            client,
            credential,
            opening_until,
            welcomed: None,
            asked: VecDeque::new(),
            ids: 0,
            out: VecDeque::new(),
            turn_at: None,
            later: Vec::new(),
            renewing: false,
        }
    }

    /// The welcome came.
    pub(super) fn welcome(&mut self, heartbeat: Duration, messages_per_second: u32, now: Instant) {
        let pace = Pace::new(messages_per_second, now);
        let silence = heartbeat.min(RHYTHM) + SLACK;
        self.welcomed = Some(Welcomed { at: now, silence, pace, open: false });
    }

    /// Whether another request has to wait for an answer.
    pub(super) fn is_full(&self) -> bool {
        self.asked.len() >= WINDOW
    }

    /// Sends a request.
    pub(super) fn ask(&mut self, request: &Request, what: What, now: Instant) {
        self.ids += 1;
        self.out.push_back(request.to_json(Some(&self.ids.to_string())));
        self.asked.push_back(Asked { id: self.ids, at: now, what });
    }

    /// What the frame with this id answers.
    pub(super) fn answered(&mut self, id: Option<&Value>) -> Option<What> {
        let id: u64 = id?.as_str()?.parse().ok()?;
        let at = self.asked.iter().position(|asked| asked.id == id)?;
        self.asked.remove(at).map(|asked| asked.what)
    }

    /// Once more, then.
    pub(super) fn later(&mut self, at: Instant, what: Later) {
        self.later.push((at, what));
    }

    /// The next of what is tried again and is due.
    pub(super) fn again(&mut self, now: Instant) -> Option<Later> {
        let due = self.later.iter().position(|(at, _)| *at <= now)?;
        Some(self.later.swap_remove(due).1)
    }

    /// Why it is to be given up, if it is. To be asked only when nothing waits to be read: what came while the
    /// process slept has not been looked at yet.
    pub(super) fn is_dead(&self, now: Instant) -> Option<&'static str> {
        match &self.welcomed {
            None if self.opening_until <= now => Some("no welcome in time"),
            None => None,
            Some(welcomed) if self.client.last_read() + welcomed.silence <= now => Some("silence"),
            Some(_) if self.asked.front().is_some_and(|asked| asked.at + ANSWER <= now) => {
                Some("no answer in time")
            }
            Some(_) => None,
        }
    }

    /// When something is due.
    pub(super) fn wakes_at(&self) -> Instant {
        let mut first = match &self.welcomed {
            None => self.opening_until,
            Some(welcomed) => self.client.last_read() + welcomed.silence,
        };
        let answer = self.asked.front().map(|asked| asked.at + ANSWER);
        let later = self.later.iter().map(|(at, _)| *at);
        for at in later.chain(answer).chain(self.turn_at) {
            first = first.min(at);
        }
        first
    }

    /// Says goodbye, and waits for the server's answer.
    pub(super) async fn leave(mut self) {
        let goodbye = async {
            // What is left in the queue is of no use any more.
            if self.client.close().await.is_ok() {
                while let Ok(Some(_)) = self.client.next_text().await {}
            }
        };
        let _ = tokio::time::timeout(CLOSING, goodbye).await;
    }

    /// Hears the server's goodbye to its end, so that it sees its close frame answered.
    pub(super) async fn hear_out(mut self) {
        let rest = async { while let Ok(Some(_)) = self.client.next_text().await {} };
        let _ = tokio::time::timeout(CLOSING, rest).await;
    }
}
