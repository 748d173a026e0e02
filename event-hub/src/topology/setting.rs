//! Arguments and policies as plain values, and how they add up at the broker.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// The value of one argument of a queue or exchange, or of one key of a policy.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Setting {
    /// Yes or no.
    Flag(bool),
    /// Limits, and times in milliseconds.
    Number(i64),
    /// Names and choices.
    Text(String),
}

/// Settings by their names in a policy, which are an argument's without `x-`.
pub(crate) type Settings = BTreeMap<String, Setting>;

// === impl Setting ===

impl Setting {
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(Self::Flag(*flag)),
            Value::Number(number) => number.as_i64().map(Self::Number),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Flag(flag) => Value::from(*flag),
            Self::Number(number) => Value::from(*number),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => flag.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Setting {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// What is in force for a queue that has both: the lower of two numbers; else the argument, but that a quorum
/// queue's `overflow` is the policy's (RabbitMQ's `rabbit_quorum_queue` and `rabbit_queue_type_util`).
pub(crate) fn add_up(arguments: &Settings, policy: &Settings, quorum: bool) -> Settings {
    let mut all = policy.clone();
    for (name, argument) in arguments {
        let value = match (argument, policy.get(name)) {
            (Setting::Number(argument), Some(Setting::Number(policy))) => {
                Setting::Number(*argument.min(policy))
            }
            (_, Some(policy)) if quorum && name == "overflow" => policy.clone(),
            (argument, _) => argument.clone(),
        };
        all.insert(name.clone(), value);
    }
    all
}
