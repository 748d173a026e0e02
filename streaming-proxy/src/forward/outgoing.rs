//! A request on its way: one place for it, from its first try to its last.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

use crate::body::replay::{Replay, Room};
use crate::body::upload::Upload;

/// A request between its tries, and what it takes to send it again after one.
///
/// It is handed on by reference: a request moved from hand to hand costs more than what the hands do with it.
pub(crate) struct Outgoing {
    /// An empty one while it is not here.
    request: Request<Upload>,
    place: Place,
    /// What its body was, if that is kept.
    replay: Option<Replay>,
    /// How long the client's body may pause.
    idle: Option<Duration>,
    /// Whether it wants its connection for another protocol.
    pub(super) is_upgrade: bool,
}

/// Where a request is.
enum Place {
    Here,
    /// A connection has it, or had it: all that is left is this, where somebody wanted it to be kept.
    Away(Option<Head>),
}

/// What the head of a request was.
struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<Field>,
    /// The values of all fields, one after the other: one copy of them costs less than a handle to each, and they become
    /// a map again in the rare case that they are needed.
    values: Vec<u8>,
    has_body: bool,
}

/// One field of a [`Head`].
struct Field {
    name: HeaderName,
    length: usize,
    is_sensitive: bool,
}

// === impl Outgoing ===

impl Outgoing {
    pub(crate) fn new(request: Request<Upload>) -> Self {
        Self { request, place: Place::Here, replay: None, idle: None, is_upgrade: false }
    }

    /// The request; an empty one while a connection has it.
    pub(super) fn request(&self) -> &Request<Upload> {
        &self.request
    }

    pub(super) fn request_mut(&mut self) -> &mut Request<Upload> {
        &mut self.request
    }

    /// Ends the upload when its client gives nothing for `limit`.
    pub(super) fn limit_idle(&mut self, limit: Option<Duration>) {
        self.idle = limit;
        self.request.body_mut().limit_idle(limit);
    }

    /// From now on its body is written down, up to `max` bytes and while there is `room`, to be sent again.
    pub(super) fn keep_body(&mut self, max: usize, room: &Arc<Room>) {
        let upload = mem::replace(self.request.body_mut(), Upload::empty());
        let (upload, replay) = upload.replayed(max, room);
        *self.request.body_mut() = upload;
        self.replay = replay;
    }

    /// Whether its body is written down, as far as there is room.
    pub(super) fn keeps_body(&self) -> bool {
        self.replay.is_some()
    }

    /// Gives it away to a connection; `keep`: not without knowing what it was.
    pub(super) fn take(&mut self, keep: bool) -> Request<Upload> {
        self.place = Place::Away(keep.then(|| Head::of(&self.request)));
        mem::replace(&mut self.request, Request::new(Upload::empty()))
    }

    /// The connection has sent none of it, and gives it back.
    pub(super) fn give_back(&mut self, request: Request<Upload>) {
        (self.request, self.place) = (request, Place::Here);
    }

    /// It goes out no more.
    pub(super) fn forget(&mut self) {
        self.place = Place::Away(None);
    }

    /// Whether it could be sent, again or for the first time.
    pub(super) fn is_whole(&self) -> bool {
        match &self.place {
            Place::Here => true,
            Place::Away(None) => false,
            Place::Away(Some(head)) => !head.has_body || self.replay.as_ref().is_some_and(Replay::is_whole),
        }
    }

    /// Makes it what it was, if that is known; if not, or when more of its body has gone than was kept, it is lost.
    pub(super) fn renew(&mut self) -> bool {
        let Place::Away(head) = &mut self.place else { return true };
        let Some(head) = head.take() else { return false };
        let upload = match &self.replay {
            Some(replay) => match replay.again() {
                Some(reading) => Upload::again(reading, self.idle),
                None => return false,
            },
            None if head.has_body => return false,
            None => Upload::empty(),
        };
        let Some(request) = head.with(upload) else { return false };
        self.give_back(request);
        true
    }
}

// === impl Head ===

impl Head {
    fn of(request: &Request<Upload>) -> Self {
        let headers = request.headers();
        let mut fields = Vec::with_capacity(headers.len());
        let mut values = Vec::with_capacity(headers.values().map(HeaderValue::len).sum());
        for (name, value) in headers {
            values.extend_from_slice(value.as_bytes());
            let (length, is_sensitive) = (value.len(), value.is_sensitive());
            fields.push(Field { name: name.clone(), length, is_sensitive });
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            fields,
            values,
            has_body: !request.body().is_empty(),
        }
    }

    /// `None` if a value is none, which a layer may have made unchecked: better lost than another request.
    fn with(self, upload: Upload) -> Option<Request<Upload>> {
        let mut request = Request::new(upload);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.version_mut() = self.version;
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        let mut values = Bytes::from(self.values);
        for Field { name, length, is_sensitive } in self.fields {
            let mut value = HeaderValue::from_maybe_shared(values.split_to(length)).ok()?;
            value.set_sensitive(is_sensitive);
            headers.append(name, value);
        }
        *request.headers_mut() = headers;
        Some(request)
    }
}

#[cfg(test)]
mod tests;
