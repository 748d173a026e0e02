//! Requests that no service sees.

#[cfg(feature = "tls")]
use std::sync::Arc;

use http::{HeaderName, Request, Response, Uri};

use crate::body::ProxyBody;
#[cfg(feature = "tls")]
use crate::edge::tls::names::Names;
use crate::error::{ErrorKind, ProxyError};
use crate::layer::respond;
use crate::respond::Inbound;

/// What the server looks at before a service does.
#[derive(Debug)]
pub(crate) struct Checks {
    /// The longest target, in bytes.
    max_uri: usize,
    /// The hosts that may be asked for on this connection.
    #[cfg(feature = "tls")]
    names: Option<Arc<Names>>,
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

// === impl Checks ===

impl Checks {
    pub(crate) fn new(max_uri: usize) -> Self {
        Self {
            max_uri,
            #[cfg(feature = "tls")]
            names: None,
        }
    }

    /// The same on a connection within TLS.
    #[cfg(feature = "tls")]
    pub(crate) fn with_names(mut self, names: Option<Arc<Names>>) -> Self {
        self.names = names;
        self
    }

    /// The answer to a request that goes no further.
    pub(crate) fn refuse<B>(&self, request: &Request<B>) -> Option<Response<ProxyBody>> {
        Some(answer(self.check(request)?, request))
    }

    /// The same for one of HTTP/2, whose fields hyper does not count.
    #[cfg(feature = "http2")]
    pub(crate) fn refuse_http2<B>(
        &self,
        request: &Request<B>,
        max_headers: usize,
    ) -> Option<Response<ProxyBody>> {
        if request.headers().len() > max_headers {
            return Some(answer(ErrorKind::HeadTooLarge, request));
        }
        self.refuse(request)
    }

    fn check<B>(&self, request: &Request<B>) -> Option<ErrorKind> {
        if length(request.uri()) > self.max_uri {
            return Some(ErrorKind::UriTooLong);
        }
        #[cfg(feature = "tls")]
        if let Some(names) = &self.names {
            // RFC 9112, 3.2: it is for two hosts, and not for another one.
            if request.headers().get_all(http::header::HOST).iter().nth(1).is_some() {
                return Some(ErrorKind::BadRequest);
            }
            if !is_for(names, request) {
                return Some(ErrorKind::Misdirected);
            }
        }
        None
    }
}

fn answer<B>(kind: ErrorKind, request: &Request<B>) -> Response<ProxyBody> {
    metrics::counter!("streaming_proxy.server.refused", "reason" => kind.label()).increment(1);
    let inbound = Inbound {
        method: request.method().clone(),
        uri: request.uri().clone(),
        request_id: request.headers().get(X_REQUEST_ID).cloned(),
    };
    respond::refusal(&ProxyError::new(kind), &inbound)
}

/// How long the target is as it was written.
fn length(uri: &Uri) -> usize {
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    scheme + authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// Whether every host that the request names is one of `names`. One that names none is not misdirected.
#[cfg(feature = "tls")]
fn is_for<B>(names: &Names, request: &Request<B>) -> bool {
    let is_ours = |authority: &http::uri::Authority| names.contains(authority.host());
    let mut fields = request.headers().get_all(http::header::HOST).iter();
    request.uri().authority().is_none_or(is_ours)
        && fields.all(|field| {
            let authority = http::uri::Authority::try_from(field.as_bytes());
            authority.is_ok_and(|authority| is_ours(&authority))
        })
}
