//! Versions of payloads, and the steps from an older one to the newest.
//!
//! An event says in `dataversion` which schema its data has. A program that knows version 3 still gets events
//! of version 1: from an outbox, from a dead letter that is sent again, from a service that was not rolled out
//! yet. [`Upcasts`] holds a function for each step, and the hub takes the steps before a handler sees the event
//! ([`HubConfig::upcasts`](crate::HubConfig::upcasts)).
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use serde_json::{Value, json};
//! use tramline_event_hub::schema::{Upcasts, Versioned};
//! use tramline_event_hub::{ErrorKind, Event};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Placed {
//!     order: u64,
//!     currency: String,
//!     lines: Vec<String>,
//! }
//!
//! impl Versioned for Placed {
//!     const TYPE: &'static str = "orders.order.placed";
//!     const VERSION: u32 = 3;
//!
//!     fn upcasts(upcasts: Upcasts) -> Upcasts {
//!         upcasts
//!             .step(Self::TYPE, 1, |mut v1: Value| {
//!                 v1["currency"] = json!("EUR");
//!                 v1
//!             })
//!             .try_step(Self::TYPE, 2, |mut v2: Value| match v2["item"].take() {
//!                 Value::String(item) => {
//!                     v2["lines"] = json!([item]);
//!                     Ok(v2)
//!                 }
//!                 _ => Err("an order without an item"),
//!             })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upcasts = Upcasts::new().with::<Placed>();
//! upcasts.check()?;
//! let old = Event::new(Placed::TYPE, "shop", &json!({"order": 7, "item": "tea"}))?;
//! let placed: Placed = old.data_as(&upcasts)?;
//! assert_eq!((placed.currency.as_str(), placed.lines), ("EUR", vec!["tea".to_owned()]));
//!
//! let newer = Event::of("shop", &Placed { order: 8, currency: "EUR".into(), lines: vec![] })?.with_version(4);
//! assert_eq!(newer.data_as::<Placed>(&upcasts).err().map(|e| e.kind()), Some(ErrorKind::UnknownVersion));
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};

/// What a program knows of its payloads' versions. Types that are not in it pass as they are. Cheap to clone.
#[derive(Clone, Default)]
pub struct Upcasts(Arc<Inner>);

/// A payload that knows which event it is of, and in which version.
pub trait Versioned {
    /// The event's type.
    const TYPE: &'static str;

    /// The version that this shape is; the first is 1.
    const VERSION: u32;

    /// Adds the steps from older versions. Without any, [`VERSION`](Self::VERSION) alone is known.
    #[must_use]
    fn upcasts(upcasts: Upcasts) -> Upcasts {
        upcasts
    }
}

#[derive(Clone, Default)]
struct Inner {
    chains: HashMap<String, Chain>,
    /// What was added and cannot be; [`Upcasts::check`] tells.
    faults: Vec<String>,
}

#[derive(Clone, Default)]
struct Chain {
    /// What was said to be the newest; else it is where the last step leads.
    said: Option<u32>,
    /// By the version that they start from.
    steps: BTreeMap<u32, Step>,
}

type BoxError = Box<dyn StdError + Send + Sync>;

type Step = Arc<dyn Fn(&RawValue) -> Result<Box<RawValue>, BoxError> + Send + Sync>;

// === impl Upcasts ===

impl Upcasts {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step from version `from` of a type to the next.
    ///
    /// `A` and `B` are types of the two versions, or `serde_json::Value`.
    #[must_use]
    pub fn step<A, B>(
        self,
        event_type: impl Into<String>,
        from: u32,
        step: impl Fn(A) -> B + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        B: Serialize,
    {
        self.try_step(event_type, from, move |data| Ok::<_, Infallible>(step(data)))
    }

    /// As [`Upcasts::step`], for one that can fail. An event for which it does is a dead letter.
    #[must_use]
    pub fn try_step<A, B, E>(
        mut self,
        event_type: impl Into<String>,
        from: u32,
        step: impl Fn(A) -> Result<B, E> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned,
        B: Serialize,
        E: Into<BoxError>,
    {
        let step: Step = Arc::new(move |data| {
            let data = serde_json::from_str(data.get())?;
            Ok(to_raw_value(&step(data).map_err(Into::into)?)?)
        });
        let event_type = event_type.into();
        let inner = Arc::make_mut(&mut self.0);
        let chain = inner.chains.entry(event_type.clone()).or_default();
        if chain.steps.insert(from, step).is_some() {
            inner.faults.push(format!("{event_type} has two steps from version {from}"));
        }
        self
    }

    /// Says which version of a type is the newest: for a type without steps, or to have it checked.
    #[must_use]
    pub fn current(mut self, event_type: impl Into<String>, version: u32) -> Self {
        let event_type = event_type.into();
        let inner = Arc::make_mut(&mut self.0);
        let chain = inner.chains.entry(event_type.clone()).or_default();
        if let Some(said) = chain.said.replace(version)
            && said != version
        {
            inner.faults.push(format!("{event_type} has two newest versions, {said} and {version}"));
        }
        self
    }

    /// Adds all that a payload's type knows of itself.
    #[must_use]
    pub fn with<T: Versioned>(self) -> Self {
        T::upcasts(self).current(T::TYPE, T::VERSION)
    }

    /// Whether every chain is whole: one step for each version, no holes, the newest where the last one leads.
    /// The hub checks it before it consumes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], naming every fault.
    pub fn check(&self) -> Result<(), Error> {
        let mut faults = self.0.faults.clone();
        for (event_type, chain) in &self.0.chains {
            chain.check(event_type, &mut faults);
        }
        if faults.is_empty() {
            return Ok(());
        }
        faults.sort();
        Err(Error::new(ErrorKind::Config, format!("upcasts: {}", faults.join("; "))))
    }

    /// Brings an event's data to the newest version.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnknownVersion`] when no steps lead from its version to the newest;
    /// [`ErrorKind::InvalidEvent`] when a step fails or panics.
    pub fn upcast(&self, mut event: Event) -> Result<Event, Error> {
        let newer = match self.newest(&event)? {
            (version, Cow::Owned(data)) => Some((version, data)),
            (_, Cow::Borrowed(_)) => None,
        };
        if let Some((version, data)) = newer {
            (event.data_version, event.data) = (version, data);
        }
        Ok(event)
    }

    /// As [`Upcasts::upcast`]; what is new already is not copied.
    pub(crate) fn upcast_shared(&self, event: Arc<Event>) -> Result<Arc<Event>, Error> {
        match self.0.chains.get(&event.event_type) {
            Some(chain) if event.data_version != chain.newest() => {
                self.upcast(Arc::unwrap_or_clone(event)).map(Arc::new)
            }
            _ => Ok(event),
        }
    }

    fn newest<'a>(&self, event: &'a Event) -> Result<(u32, Cow<'a, RawValue>), Error> {
        let mut version = event.data_version;
        let mut data = Cow::Borrowed(&*event.data);
        let Some(chain) = self.0.chains.get(&event.event_type) else { return Ok((version, data)) };
        let newest = chain.newest();
        while version != newest {
            let Some(step) = chain.steps.get(&version) else {
                return Err(Error::new(ErrorKind::UnknownVersion, chain.refusal(event)));
            };
            let failed = |source: BoxError| {
                let what =
                    format!("{}: the step from version {version} to {}", event.event_type, version + 1);
                Error::new(ErrorKind::InvalidEvent, what).with_source(source)
            };
            // It would panic again with every try.
            let stepped = catch_unwind(AssertUnwindSafe(|| step(&data)));
            data = Cow::Owned(stepped.map_err(|_| failed("it panicked".into()))?.map_err(failed)?);
            version += 1;
        }
        Ok((version, data))
    }
}

impl fmt::Debug for Upcasts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = |chain: &Chain| format!("{}..={}", chain.oldest(), chain.newest());
        let chains: BTreeMap<_, _> =
            self.0.chains.iter().map(|(kind, chain)| (kind, versions(chain))).collect();
        f.debug_tuple("Upcasts").field(&chains).finish()
    }
}

// === impl Event ===

impl Event {
    /// Reads the payload in its newest version.
    ///
    /// # Errors
    ///
    /// As [`Upcasts::upcast`]; [`ErrorKind::InvalidEvent`] when the newest version is not of that shape.
    pub fn data_as<T: DeserializeOwned>(&self, upcasts: &Upcasts) -> Result<T, Error> {
        let (_, data) = upcasts.newest(self)?;
        self.shape(&data)
    }
}

// === impl Chain ===

impl Chain {
    fn newest(&self) -> u32 {
        let led = || self.steps.last_key_value().map_or(1, |(from, _)| from.saturating_add(1));
        self.said.unwrap_or_else(led)
    }

    fn oldest(&self) -> u32 {
        self.steps.first_key_value().map_or_else(|| self.newest(), |(from, _)| *from)
    }

    fn refusal(&self, event: &Event) -> String {
        let (kind, version) = (&event.event_type, event.data_version);
        format!("{kind} of version {version}, known are {} to {}", self.oldest(), self.newest())
    }

    fn check(&self, kind: &str, faults: &mut Vec<String>) {
        let (oldest, newest) = (self.oldest(), self.newest());
        if oldest == 0 {
            faults.push(format!("{kind} has a version 0, the first is 1"));
        }
        if let Some((last, _)) = self.steps.last_key_value()
            && *last >= newest
        {
            faults.push(format!("{kind} has a step from version {last}, and {newest} is the newest"));
        }
        let holes = (oldest..newest).filter(|from| !self.steps.contains_key(from));
        // A chain has a few links; a version that is off by millions need not be told number by number.
        faults.extend(holes.take(3).map(|from| format!("{kind} has no step from version {from}")));
    }
}

#[cfg(test)]
mod tests;
