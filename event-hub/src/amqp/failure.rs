//! What lapin's errors mean to us.

use crate::error::{Error, ErrorKind};

/// The broker's code and words, when it was the broker who refused.
pub(super) fn refusal(error: &lapin::Error) -> Option<(u16, &str)> {
    match error.kind() {
        lapin::ErrorKind::ProtocolError(amqp) if error.is_amqp_soft_error() => {
            Some((amqp.get_id(), amqp.get_message().as_str()))
        }
        _ => None,
    }
}

/// Why a broker closed a channel.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: u16,
    pub(super) text: String,
}

// === impl Refusal ===

impl Refusal {
    pub(super) fn of(error: &lapin::Error) -> Option<Self> {
        refusal(error).map(|(code, text)| Self { code, text: text.to_owned() })
    }
}

/// Whether a broker has told a new connection that it does not want its user (403) or its virtual host (530).
pub(super) fn is_refusal_of_us(error: &lapin::Error) -> bool {
    matches!(error.kind(), lapin::ErrorKind::ProtocolError(amqp) if matches!(amqp.get_id(), 403 | 530))
}

pub(super) fn error(error: lapin::Error, what: &str) -> Error {
    let kind = match refusal(&error) {
        // A missing permission is a 403 too.
        Some((403, text)) if !text.contains("exclusive use") => ErrorKind::Broker,
        Some((403 | 405, _)) => ErrorKind::InUse,
        Some((404, _)) => ErrorKind::UnknownQueue,
        Some((406, _)) => ErrorKind::Conflict,
        _ => ErrorKind::Broker,
    };
    Error::new(kind, what).with_source(error)
}
