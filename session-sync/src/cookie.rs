//! The refresh cookie, and the check that the page asking is one of ours.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// The refresh token's cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefreshCookie {
    /// For pages on https: `__Secure-tramline_refresh`.
    Secure,
    /// For pages on http at a loopback address: `tramline_refresh`. Browsers treat it as secure.
    Loopback,
}

/// The origins whose pages may use the cookie.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<String>);

/// A request with the cookie did not come from one of our pages.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginFault {
    /// The `Origin` is not on the list, or there is none.
    #[error("the request's origin is not allowed")]
    Origin,
    /// `Sec-Fetch-Site` says that another site asks.
    #[error("the request came from another site")]
    Site,
}

// === impl RefreshCookie ===

impl RefreshCookie {
    /// The cookie for pages at `origin`, for example `https://pay.example.com`.
    #[must_use]
    pub fn for_origin(origin: &str) -> Self {
        if origin.to_ascii_lowercase().starts_with("http://") { Self::Loopback } else { Self::Secure }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Secure => "__Secure-tramline_refresh",
            Self::Loopback => "tramline_refresh",
        }
    }

    /// `Set-Cookie` with a refresh token that lives so long.
    ///
    /// # Panics
    ///
    /// Never: a refresh token is base64url. Anything else is left out.
    #[must_use]
    pub fn set(self, token: &str, life: Duration) -> HeaderValue {
        let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        self.value(if plain { token } else { "" }, life.as_secs())
    }

    /// `Set-Cookie` that removes it.
    #[must_use]
    pub fn clear(self) -> HeaderValue {
        self.value("", 0)
    }

    /// The refresh token in a request's cookies.
    ///
    /// `None` when there is none, or more than one: which of them is ours cannot be told.
    #[must_use]
    pub fn read(self, headers: &HeaderMap) -> Option<&str> {
        let mut found = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == self.name())
            .map(|(_, value)| value.trim_matches('"'));
        let first = found.next().filter(|value| !value.is_empty())?;
        // The same twice is one cookie seen through two headers.
        found.all(|other| other == first).then_some(first)
    }

    fn value(self, token: &str, seconds: u64) -> HeaderValue {
        let text = format!(
            "{}={token}; HttpOnly; Secure; SameSite=Strict; Path={PATH}; Max-Age={seconds}",
            self.name()
        );
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

// === impl Origins ===

impl Origins {
    /// These origins, as browsers write them: `https://pay.example.com`, without a path.
    #[must_use]
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect())
    }

    /// Checks a request in which the cookie is what counts.
    ///
    /// Every browser sends `Origin` with a POST, so none at all is refused. `Sec-Fetch-Site` is
    /// checked when it is there: `same-origin`, or `same-site` with an origin on the list.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), OriginFault> {
        if let Some(site) = headers.get("sec-fetch-site")
            && site != "same-origin"
            && site != "same-site"
        {
            return Err(OriginFault::Site);
        }
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return Err(OriginFault::Origin);
        };
        let allowed =
            origin.to_str().is_ok_and(|origin| self.0.iter().any(|known| known.eq_ignore_ascii_case(origin)));
        if allowed { Ok(()) } else { Err(OriginFault::Origin) }
    }
}

/// Only the routes that renew and end sessions see it.
const PATH: &str = "/api/auth";

#[cfg(test)]
mod tests;
