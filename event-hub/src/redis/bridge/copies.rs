//! One message, brought by several subscriptions.

use bytes::Bytes;

use crate::redis::bridge::buffer::Message;

/// Tells the copies of one message. Redis sends one to each subscription that fits, in one go: so a copy is what
/// follows its like on the same connection by another subscription.
#[derive(Debug, Default)]
pub(super) struct Copies {
    channel: String,
    body: Bytes,
    /// The subscriptions that have brought it: none for the channel's own.
    by: Vec<Option<String>>,
}

// === impl Copies ===

impl Copies {
    /// Whether the message has come before, by another subscription.
    pub(super) fn has(&mut self, message: &Message) -> bool {
        let alike = self.channel == message.channel && self.body == message.body;
        if alike && !self.by.is_empty() && !self.by.contains(&message.pattern) {
            self.by.push(message.pattern.clone());
            return true;
        }
        self.channel.clone_from(&message.channel);
        self.body.clone_from(&message.body);
        self.by.clear();
        self.by.push(message.pattern.clone());
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(channel: &str, pattern: Option<&str>, body: &'static str) -> Message {
        Message {
            channel: channel.to_owned(),
            pattern: pattern.map(str::to_owned),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn copies_are_told_from_repeats() {
        let mut copies = Copies::default();
        let mut new = |channel, pattern, body| !copies.has(&message(channel, pattern, body));
        for _ in 0..2 {
            // The same words twice are two messages, of three subscriptions each.
            assert!(new("a.b", None, "1"));
            assert!(!new("a.b", Some("a.*"), "1"));
            assert!(!new("a.b", Some("*"), "1"));
        }
        assert!(new("a.c", Some("a.*"), "1"));
        assert!(!new("a.c", Some("*"), "1"));
        assert!(new("a.c", Some("a.*"), "2"));
        assert!(!new("a.c", Some("*"), "2"));
        assert!(new("b", Some("*"), "2"));
        assert!(new("b", Some("*"), "2"));
        assert!(new("", None, ""));
    }
}
