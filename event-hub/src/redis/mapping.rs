//! How events and messages become each other.

mod base_event;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::envelope::Event;
use crate::error::{Error, ErrorKind};
use crate::handler::BoxError;
use crate::redis::mark::{Object, Via};

/// How events and messages become each other: the form of the body, and which channel is which event type.
///
/// | | out | back |
/// |---|---|---|
/// | [`cloud_events`](Self::cloud_events) | the event's JSON | CloudEvents JSON as it is; other JSON becomes `data` |
/// | [`base_event`](Self::base_event) | the envelope with `timestamp` and `correlationId` | the same, and CloudEvents |
/// | [`data`](Self::data) | the event's `data` alone | as `cloud_events` |
///
/// The channel is the event's type, unless [renamed](Self::with_channels). Either direction can be your own
/// function.
///
/// ```
/// use tramline_event_hub::redis::Mapping;
///
/// // `orders.order.placed` is on the channel `orders:order:placed`.
/// let mapping = Mapping::base_event()
///     .with_channels(|event_type| event_type.replace('.', ":"), |channel| channel.replace(':', "."));
/// ```
#[derive(Clone)]
pub struct Mapping {
    form: Form,
    source: Cow<'static, str>,
    to_channel: Arc<Rename>,
    to_type: Arc<Rename>,
    out: Option<Arc<Out>>,
    back: Option<Arc<Back>>,
}

/// What to publish on Redis.
#[derive(Clone, Debug)]
pub struct Outgoing {
    channel: String,
    body: Bytes,
    /// Whether the body is an object that can bear the mark.
    object: bool,
}

/// What Redis brought.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Incoming<'a> {
    /// The channel it was published on.
    pub channel: &'a str,
    /// The pattern that brought it, when one did.
    pub pattern: Option<&'a str>,
    /// The body, without the mark where it bore one.
    pub body: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Form {
    BaseEvent,
    CloudEvents,
    Data,
}

type Rename = dyn Fn(&str) -> String + Send + Sync;
type Out = dyn Fn(&Event) -> Result<Option<Outgoing>, BoxError> + Send + Sync;
type Back = dyn Fn(Incoming<'_>) -> Result<Option<Event>, BoxError> + Send + Sync;

// === impl Mapping ===

impl Mapping {
    /// The event's own JSON. The way back takes CloudEvents as they are, with their ids; any other JSON becomes the
    /// `data` of an event that has the channel for its type, and an id of its own.
    #[must_use]
    pub fn cloud_events() -> Self {
        Self::of(Form::CloudEvents)
    }

    /// The envelope of many event libraries for Node: `id`, `type` (the channel), `version` (`1.0`), `timestamp`,
    /// `source`, `correlationId`, `causationId`, `data` and `metadata`.
    ///
    /// `metadata`, which an event has no room for, is kept as text in the extension `metadata`. The way back refuses
    /// what has no `id`, `type` or `data`.
    #[must_use]
    pub fn base_event() -> Self {
        Self::of(Form::BaseEvent)
    }

    /// The event's data alone, which must be an object, for listeners that know no envelope. The way back is that of
    /// [`cloud_events`](Self::cloud_events).
    #[must_use]
    pub fn data() -> Self {
        Self::of(Form::Data)
    }

    /// Names the channel of an event type, and the event type of a channel.
    #[must_use]
    pub fn with_channels(
        mut self,
        to_channel: impl Fn(&str) -> String + Send + Sync + 'static,
        to_type: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        (self.to_channel, self.to_type) = (Arc::new(to_channel), Arc::new(to_type));
        self
    }

    /// Names the source of events whose message does not say it. Default `redis`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Cow<'static, str>>) -> Self {
        self.source = source.into();
        self
    }

    /// Makes messages by a function of your own. None: nothing goes out for this event. An error is the event's own
    /// fault, and makes a dead letter of it.
    #[must_use]
    pub fn with_out(
        mut self,
        out: impl Fn(&Event) -> Result<Option<Outgoing>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.out = Some(Arc::new(out));
        self
    }

    /// Makes events by a function of your own. None: the hub does not want this message. An error is the message's own
    /// fault: it is refused, logged and counted.
    ///
    /// Take the id from the message where it has one: that is what makes the same message of two processes one event.
    #[must_use]
    pub fn with_back(
        mut self,
        back: impl Fn(Incoming<'_>) -> Result<Option<Event>, BoxError> + Send + Sync + 'static,
    ) -> Self {
        self.back = Some(Arc::new(back));
        self
    }

    pub(super) fn out(&self, event: &Event) -> Result<Option<Outgoing>, BoxError> {
        if let Some(out) = &self.out {
            return out(event);
        }
        let channel = (self.to_channel)(&event.event_type);
        let outgoing = match self.form {
            Form::CloudEvents => Outgoing::event(channel, event),
            Form::BaseEvent => Outgoing::object(channel.clone(), &base_event::Out::of(event, &channel))?,
            Form::Data => Outgoing::object(channel, &event.data)?,
        };
        Ok(Some(outgoing))
    }

    pub(super) fn back(&self, incoming: Incoming<'_>) -> Result<Option<Event>, BoxError> {
        if let Some(back) = &self.back {
            return back(incoming);
        }
        let Incoming { channel, body, .. } = incoming;
        if Object::parse(body).is_ok_and(|object| object.has("specversion")) {
            return Ok(Some(Event::from_json(body)?));
        }
        let event = match self.form {
            Form::BaseEvent => base_event::read(body, &self.source, &*self.to_type)?,
            Form::CloudEvents | Form::Data => {
                let data: &RawValue = serde_json::from_slice(body).map_err(|e| no_event("no JSON", e))?;
                Event::new((self.to_type)(channel), &*self.source, data)?
            }
        };
        Ok(Some(event))
    }

    fn of(form: Form) -> Self {
        Self {
            form,
            source: Cow::Borrowed("redis"),
            to_channel: Arc::new(str::to_owned),
            to_type: Arc::new(str::to_owned),
            out: None,
            back: None,
        }
    }
}

impl Default for Mapping {
    fn default() -> Self {
        Self::cloud_events()
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping")
            .field("form", &self.form)
            .field("own_out", &self.out.is_some())
            .field("own_back", &self.back.is_some())
            .finish_non_exhaustive()
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// The event's own JSON, on whichever channel. It bears the mark.
    pub fn event(channel: impl Into<String>, event: &Event) -> Self {
        Self { channel: channel.into(), body: event.to_json(), object: true }
    }

    /// A JSON object, which goes out with the mark as one member more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidEvent`] when it is no JSON object.
    pub fn object(channel: impl Into<String>, object: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        let body = serde_json::to_vec(object).map_err(|e| no_event("no JSON", e))?;
        Object::parse(&body).map_err(|e| no_event("no JSON object, which alone can bear the mark", e))?;
        Ok(Self { channel: channel.into(), body: body.into(), object: true })
    }

    /// Any bytes, as they are and **without the mark**: a bridge of this hub that listens to the channel would take
    /// them for news.
    pub fn unmarked(channel: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { channel: channel.into(), body: body.into(), object: false }
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    /// The body as it goes out.
    pub(super) fn marked(&self, via: &Via) -> Result<Bytes, Error> {
        if !self.object {
            return Ok(self.body.clone());
        }
        let object = Object::parse(&self.body).map_err(|e| no_event("no JSON object", e))?;
        Ok(object.marked(Some(via)))
    }
}

fn no_event(what: &str, why: serde_json::Error) -> Error {
    Error::new(ErrorKind::InvalidEvent, what).with_source(why)
}

#[cfg(test)]
mod tests;
