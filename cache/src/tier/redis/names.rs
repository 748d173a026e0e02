//! Names in Redis, and what is said on the feed.

use std::io::Write as _;

use ::redis::{RedisWrite, ToRedisArgs};

use crate::error::{Error, ErrorKind};
use crate::mark::{Mark, MarkName};
use crate::tier::{Ending, Slot};

#[derive(Debug)]
pub(super) struct Names {
    prefix: String,
    pub(super) count: String,
    pub(super) feed: String,
    /// Tells our own messages from others'.
    node: String,
}

/// The parts of a value's name.
pub(super) struct ValueName<'a>([&'a str; 4]);

/// A message of the feed.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Message {
    Ended {
        ending: Ending,
        mark: Mark,
        own: bool,
    },
    Filled(Slot),
    /// Something of a kind that we do not know was ended.
    Unknown,
}

/// Beyond this, names cost more than values.
const MAX_PREFIX: usize = 64;

// === impl Names ===

impl Names {
    /// `database`: messages go to all of them, and each has a count of its own.
    pub(super) fn new(prefix: String, database: i64) -> Result<Self, Error> {
        // Nothing that means something in a name, a pattern of rights, or a hash tag.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":-_./".contains(&byte);
        if prefix.is_empty() || prefix.len() > MAX_PREFIX || !prefix.bytes().all(plain) {
            let detail = "`prefix` must be 1 to 64 letters, digits and `:-_./`";
            return Err(Error::new(ErrorKind::Config, detail));
        }
        Ok(Self {
            count: format!("{{{prefix}}}:seq"),
            feed: match database {
                0 => format!("{{{prefix}}}:feed"),
                other => format!("{{{prefix}}}:feed:{other}"),
            },
            node: format!("{:016x}", rand::random::<u64>()),
            prefix,
        })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key as it is written begins with a colon.
    pub(super) fn value(&self, slot: &Slot) -> String {
        self.value_in(slot).0.concat()
    }

    /// The same as an argument, written where it goes.
    pub(super) fn value_in<'a>(&'a self, slot: &'a Slot) -> ValueName<'a> {
        ValueName([&*self.prefix, ":v:", &slot.space, &slot.key])
    }

    pub(super) fn mark(&self, name: &MarkName) -> String {
        ["{", &self.prefix, "}:", name.as_str()].concat()
    }

    /// What a script puts behind the number.
    pub(super) fn ended(&self, ending: &Ending) -> String {
        match ending {
            Ending::Key(slot) => format!("{} k {} {}", self.node, slot.space, slot.key),
            Ending::Mark(name) => format!("{} m {}", self.node, name.as_str()),
            Ending::All => format!("{} a ", self.node),
        }
    }

    pub(super) fn filled(slot: &Slot) -> String {
        format!("f {} {}", slot.space, slot.key)
    }

    /// None when it says nothing that concerns anybody.
    pub(super) fn message(&self, text: &str) -> Option<Message> {
        if let Some(slot) = text.strip_prefix("f ") {
            return self::slot(slot).map(Message::Filled);
        }
        let mut words = text.strip_prefix("e ")?.splitn(4, ' ');
        let mark = words.next().and_then(Mark::parse)?;
        let (Some(node), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Some(Message::Unknown);
        };
        let ending = match kind {
            "k" => slot(name).map(Ending::Key),
            "m" => Some(Ending::Mark(MarkName::from_wire(name))),
            "a" => Some(Ending::All),
            _ => None,
        };
        let own = node == self.node;
        Some(ending.map_or(Message::Unknown, |ending| Message::Ended { ending, mark, own }))
    }
}

// === impl ValueName ===

impl ValueName<'_> {
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|part| part.len()).sum()
    }
}

impl ToRedisArgs for ValueName<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        let mut arg = out.writer_for_next_arg();
        for part in self.0 {
            // Into memory, which takes it.
            let _ = arg.write_all(part.as_bytes());
        }
    }
}

fn slot(text: &str) -> Option<Slot> {
    let (space, key) = text.split_once(' ')?;
    Some(Slot { space: space.into(), key: key.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        let names = Names::new("a:b".to_owned(), 0).unwrap();
        let other = Names::new("a:b".to_owned(), 0).unwrap();
        let mark = Mark { incarnation: 0xabc, number: 7 };
        let slot = Slot { space: "users.1".into(), key: ":a%20b".into() };
        let endings = [
            Ending::Key(slot.clone()),
            Ending::Key(Slot { key: "".into(), ..slot.clone() }),
            Ending::Mark(MarkName::from_wire("t:user:7")),
            Ending::All,
        ];
        for ending in endings {
            let text = format!("e {mark} {}", names.ended(&ending));
            assert_eq!(
                names.message(&text),
                Some(Message::Ended { ending: ending.clone(), mark, own: true })
            );
            assert_eq!(other.message(&text), Some(Message::Ended { ending, mark, own: false }));
        }
        assert_eq!(other.message(&Names::filled(&slot)), Some(Message::Filled(slot)));
        for unknown in ["e 0000000000000abc.7", "e abc.7 n z x", "e abc.7 n k nospace", "e abc.7 n"] {
            assert_eq!(other.message(unknown), Some(Message::Unknown), "{unknown}");
        }
        for nothing in ["", "e", "e ", "x", "f x", "e x.y n k a b"] {
            assert_eq!(other.message(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn values_are_spread_and_what_counts_is_together() {
        let names = Names::new("a:b".to_owned(), 0).unwrap();
        let slot = Slot { space: "users.1".into(), key: ":7".into() };
        assert_eq!(names.value(&slot), "a:b:v:users.1:7");
        assert_eq!(names.mark(&MarkName::of_cache("users.1")), "{a:b}:s:users.1");
        assert_eq!((&*names.count, &*names.feed), ("{a:b}:seq", "{a:b}:feed"));
        assert_eq!(Names::new("a:b".to_owned(), 3).unwrap().feed, "{a:b}:feed:3");
        for bad in ["", "a b", "a{b}", "a*", "ü", "a\n", &"x".repeat(65)] {
            assert_eq!(Names::new(bad.to_owned(), 0).unwrap_err().kind(), ErrorKind::Config, "{bad}");
        }
    }
}
