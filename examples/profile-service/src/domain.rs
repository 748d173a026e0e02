//! What a profile is, and how a change of it is written.

use chassis::problem::Problem;
use chassis::validate::Faults;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// A profile as it is stored, cached and answered.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    pub(crate) user_id: Uuid,
    pub(crate) phone: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) bio: Option<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

/// What is known of a user's profile.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Known {
    /// Nothing yet: their creation has not arrived.
    Nothing,
    /// It is there.
    Profile(Profile),
    /// It was purged with its user.
    Purged,
}

/// A change: absent leaves, null clears, a text sets.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(crate) struct Change {
    #[serde(default, deserialize_with = "present")]
    pub(crate) phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) address: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) bio: Option<Option<String>>,
}

/// E.164 has 15 digits; spaces, brackets and an extension need some more.
const PHONE_CHARS: usize = 40;
/// Four lines of an envelope.
const ADDRESS_CHARS: usize = 300;
/// A paragraph.
const BIO_CHARS: usize = 1_000;

impl Change {
    /// Checks the rules, and trims.
    pub(crate) fn parse(self) -> Result<Self, Problem> {
        let mut faults = Faults::new();
        let mut text = |pointer, value: Option<Option<String>>, longest| {
            value.map(|value| value.map(|text| faults.text(pointer, &text, 1..=longest).to_owned()))
        };
        let change = Self {
            phone: text("/phone", self.phone, PHONE_CHARS),
            address: text("/address", self.address, ADDRESS_CHARS),
            bio: text("/bio", self.bio, BIO_CHARS),
        };
        if let Some(Some(phone)) = &change.phone {
            let good = |c: char| c.is_ascii_digit() || "+()-./ x".contains(c);
            let digits = phone.chars().filter(char::is_ascii_digit).count();
            let number = phone.is_empty() || phone.chars().all(good) && digits >= 3;
            faults.check(number, "/phone", "is no phone number");
        }
        faults.finish()?;
        Ok(change)
    }

    /// Applies the change and names the fields that it changed.
    pub(crate) fn apply(self, profile: &mut Profile, now: Timestamp) -> Vec<String> {
        let mut changed = Vec::new();
        let fields = [
            ("phone", &mut profile.phone, self.phone),
            ("address", &mut profile.address, self.address),
            ("bio", &mut profile.bio, self.bio),
        ];
        for (name, field, value) in fields {
            if let Some(value) = value
                && *field != value
            {
                *field = value;
                changed.push(name.to_owned());
            }
        }
        if !changed.is_empty() {
            profile.updated_at = now;
        }
        changed
    }
}

/// `Some(None)` for a null that is there, which serde alone takes for absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests;
