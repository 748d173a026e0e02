//! Close codes, and what each asks of the client.

use std::borrow::Cow;
use std::time::Duration;

/// Why a connection ends, as told in `goodbye` and in the close frame.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Close {
    /// The code of the close frame.
    pub code: u16,
    /// A few words; at most 123 bytes go on the wire.
    pub reason: Cow<'static, str>,
    /// How long the client should wait before it comes back.
    pub retry_after: Option<Duration>,
}

/// What a close code asks of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Advice {
    /// Reconnect, backing off (4100–4199, and everything that is not ours: the link broke).
    BackOff,
    /// Reconnect soon (4200–4299).
    Reconnect,
    /// Do not reconnect by yourself (1000, 4000–4099).
    StayAway,
}

// === impl Close ===

impl Close {
    /// Both sides are done.
    pub const NORMAL: Self = Self::fixed(1000, "normal");
    /// A frame broke RFC 6455.
    pub(crate) const MALFORMED: Self = Self::fixed(1002, "protocol error");
    /// A text frame was no UTF-8.
    pub(crate) const NOT_UTF8: Self = Self::fixed(1007, "not UTF-8");
    /// A frame was larger than the limit.
    pub const TOO_BIG: Self = Self::fixed(1009, "frame too big");
    /// The token is not good.
    pub const BAD_TOKEN: Self = Self::fixed(4001, "bad token");
    /// The user may not be here.
    pub const FORBIDDEN: Self = Self::fixed(4003, "forbidden");
    /// Ten frames that were no request.
    pub const PROTOCOL_ERROR: Self = Self::fixed(4004, "protocol error");
    /// The session was ended.
    pub const SESSION_REVOKED: Self = Self::fixed(4009, "session revoked");
    /// The user or the address has too many connections.
    pub const TOO_MANY_CONNECTIONS: Self = Self::fixed(4101, "too many connections");
    /// The queue was full, or a message took too long to come.
    pub const TOO_SLOW: Self = Self::fixed(4108, "too slow");
    /// More messages than the limit.
    pub const TOO_MANY_MESSAGES: Self = Self::fixed(4129, "too many messages");
    /// The node is going down; come back after the drawn delay.
    pub const DRAIN: Self = Self::fixed(4200, "drain");
    /// The token ended; renew first.
    pub const TOKEN_ENDED: Self = Self::fixed(4201, "token ended");
    /// The node lost its place; come back and recover.
    pub const POSITION_LOST: Self = Self::fixed(4202, "position lost");

    /// A close of the application's own, in 4000–4299.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into(), retry_after: None }
    }

    /// The same, with the delay after which the client should come back.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// What this close asks of the client.
    #[must_use]
    pub fn advice(&self) -> Advice {
        Advice::of(self.code)
    }

    /// The reason, cut to what a close frame can hold.
    pub(crate) fn wire_reason(&self) -> &str {
        // 125 bytes of a control frame less the code.
        let mut end = self.reason.len().min(123);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }

    /// Whether what waits is still sent. A revoked session hears nothing more, and a slow or
    /// abusive one could not take it.
    pub(crate) fn sends_the_rest(&self) -> bool {
        self.code == 1000 || (4200..4300).contains(&self.code)
    }

    /// Whether it ends the reading of a peer in the midst of what it sends.
    pub(crate) fn is_a_cut(&self) -> bool {
        [Self::MALFORMED, Self::NOT_UTF8, Self::TOO_BIG, Self::TOO_MANY_MESSAGES].contains(self)
    }

    const fn fixed(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason), retry_after: None }
    }
}

// === impl Advice ===

impl Advice {
    /// What a code asks of the client.
    #[must_use]
    pub fn of(code: u16) -> Self {
        match code {
            1000 | 1002 | 1003 | 1007 | 1009 | 4000..=4099 => Self::StayAway,
            4200..=4299 => Self::Reconnect,
            _ => Self::BackOff,
        }
    }
}
