//! A request that may be sent again.

use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::body::replay::Replay;
use crate::body::upload::Upload;
use crate::route::Route;

/// What it takes to send a request again.
pub(super) struct Spare {
    kind: Kind,
}

enum Kind {
    /// The request itself, of which nothing was sent.
    Unsent(Box<Request<Upload>>),
    /// What its head was. Its body, if it has one, is in a [`Replay`].
    Head(Box<Head>),
}

struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap<HeaderValue>,
    has_body: bool,
}

// === impl Spare ===

impl Spare {
    pub(super) fn unsent(request: Request<Upload>) -> Self {
        Self { kind: Kind::Unsent(Box::new(request)) }
    }

    pub(super) fn copy(request: &Request<Upload>) -> Self {
        let head = Head {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: request.headers().clone(),
            has_body: !request.body().is_empty(),
        };
        Self { kind: Kind::Head(Box::new(head)) }
    }

    /// Whether it is there as a whole.
    pub(super) fn is_whole(&self, replay: Option<&Replay>) -> bool {
        match &self.kind {
            Kind::Unsent(_) => true,
            Kind::Head(head) => !head.has_body || replay.is_some_and(Replay::is_whole),
        }
    }

    /// The request as it was; `None` when more of its body has gone than was kept.
    pub(super) fn request(self, replay: Option<&Replay>, route: &Route) -> Option<Request<Upload>> {
        match self.kind {
            Kind::Unsent(request) => Some(*request),
            Kind::Head(head) => {
                let upload = match replay {
                    Some(replay) => Upload::again(replay.again()?, route.timeouts.request_idle),
                    None if head.has_body => return None,
                    None => Upload::empty(),
                };
                let mut request = Request::new(upload);
                *request.method_mut() = head.method;
                *request.uri_mut() = head.uri;
                *request.version_mut() = head.version;
                *request.headers_mut() = head.headers;
                Some(request)
            }
        }
    }
}
