//! The mark that keeps what was moved from being moved back.

use std::fmt;

use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer as _};
use serde_json::value::RawValue;

use crate::envelope::Event;
use crate::error::Error;

/// The member of a JSON object, and the extension attribute of an event.
const MEMBER: &str = "redisvia";

/// The names by which it came, each a hub on some Redis.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Via(String);

/// A JSON object by its members, in their order and as they are written: no number is rounded on the way.
#[derive(Debug)]
pub(super) struct Object<'a>(Vec<(String, &'a RawValue)>);

/// The longest name: a list of them has to fit among an event's extensions.
const LONGEST: usize = 64;

/// A name has no blanks, since these separate names.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_whitespace)
}

// === impl Via ===

impl Via {
    pub(super) fn of(event: &Event) -> Self {
        let names = event.extensions.get(MEMBER).and_then(|value| value.as_text());
        Self(names.unwrap_or_default().to_owned())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.split_whitespace().any(|known| known == name)
    }

    pub(super) fn and(mut self, name: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(name);
        self
    }

    pub(super) fn put_on(self, event: &mut Event) -> Result<(), Error> {
        event.extensions.insert(MEMBER, self.0)
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    pub(super) fn parse(body: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(body)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(member, _)| member == name)
    }

    pub(super) fn via(&self) -> Option<Via> {
        let (_, value) = self.0.iter().find(|(member, _)| member == MEMBER)?;
        Some(Via(serde_json::from_str(value.get()).ok()?))
    }

    /// The object with this mark, or with none, and nothing else changed.
    pub(super) fn marked(&self, via: Option<&Via>) -> Bytes {
        let mut json = Vec::new();
        let mut write = || {
            let mut serializer = serde_json::Serializer::new(&mut json);
            let mut map = serializer.serialize_map(None)?;
            for (name, value) in self.0.iter().filter(|(name, _)| name != MEMBER) {
                map.serialize_entry(name, value)?;
            }
            if let Some(via) = via {
                map.serialize_entry(MEMBER, &via.0)?;
            }
            map.end()
        };
        write().expect("texts and raw JSON always serialize");
        json.into()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Members).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_changes_nothing_else() {
        let body = br#"{"b": 1.10, "a":12345678901234567890123 ,"redisvia":"x y","b":{"c" : [1]}}"#;
        let object = Object::parse(body).unwrap();
        let via = object.via().unwrap();
        assert!(via.has("x") && via.has("y") && !via.has("x y") && !via.has(""));
        let marked = object.marked(Some(&via.and("z")));
        assert_eq!(marked, r#"{"b":1.10,"a":12345678901234567890123,"b":{"c" : [1]},"redisvia":"x y z"}"#);
        assert_eq!(object.marked(None), r#"{"b":1.10,"a":12345678901234567890123,"b":{"c" : [1]}}"#);
        assert_eq!(Object::parse(b" {} ").unwrap().marked(Some(&Via("n".to_owned()))), r#"{"redisvia":"n"}"#);
        assert!(Object::parse(b"[1]").is_err() && Object::parse(b"{").is_err());
    }

    #[test]
    fn a_name_is_one_word() {
        assert!(is_name("orders-hub"));
        assert!(!is_name("") && !is_name("a b") && !is_name(&"n".repeat(65)));
    }
}
