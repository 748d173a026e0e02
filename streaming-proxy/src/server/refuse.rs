//! Requests that no service sees.

#[cfg(feature = "tls")]
use std::sync::Arc;

use http::{HeaderName, Request, Response, Uri};
#[cfg(feature = "tls")]
use http::{HeaderValue, uri::Authority};

use crate::body::ProxyBody;
#[cfg(feature = "tls")]
use crate::edge::tls::names::Names;
use crate::error::{ErrorKind, ProxyError};
use crate::headers::framing;
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
        self.check(request).err().map(|error| answer(&error, request))
    }

    /// The same for one of HTTP/2, whose fields hyper does not count.
    #[cfg(feature = "http2")]
    pub(crate) fn refuse_http2<B>(
        &self,
        request: &Request<B>,
        max_headers: usize,
    ) -> Option<Response<ProxyBody>> {
        if request.headers().len() > max_headers {
            return Some(answer(&ProxyError::new(ErrorKind::HeadTooLarge), request));
        }
        self.refuse(request)
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), ProxyError> {
        if length(request.uri()) > self.max_uri {
            return Err(ProxyError::new(ErrorKind::UriTooLong));
        }
        let host = framing::one_host(request.headers())?;
        #[cfg(feature = "tls")]
        if let Some(names) = &self.names
            && !is_for(names, request.uri(), host)
        {
            return Err(ProxyError::new(ErrorKind::Misdirected));
        }
        let _ = host;
        Ok(())
    }
}

fn answer<B>(error: &ProxyError, request: &Request<B>) -> Response<ProxyBody> {
    metrics::counter!("streaming_proxy.server.refused", "reason" => error.kind().label()).increment(1);
    let inbound = Inbound {
        method: request.method().clone(),
        uri: request.uri().clone(),
        request_id: request.headers().get(X_REQUEST_ID).cloned(),
    };
    respond::refusal(error, &inbound)
}

/// How long the target is as it was written.
fn length(uri: &Uri) -> usize {
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    scheme + authority + uri.path_and_query().map_or(0, |path| path.as_str().len())
}

/// Whether the hosts that target and `Host` name are of `names`. A request that names none is not misdirected.
#[cfg(feature = "tls")]
fn is_for(names: &Names, target: &Uri, host: Option<&HeaderValue>) -> bool {
    let is_ours = |authority: &Authority| names.contains(authority.host());
    target.authority().is_none_or(is_ours)
        && host.is_none_or(|host| Authority::try_from(host.as_bytes()).is_ok_and(|host| is_ours(&host)))
}
