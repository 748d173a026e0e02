//! How many requests are taken: of a user, of an address, of a page.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chassis::auth::Auth;
use chassis::client_addr::ClientAddr;
use chassis::config::{Common, ConfigError};
use chassis::problem::{Code, Problem};
use http::{HeaderMap, Method};
use tramline_streaming_proxy::layer::rate_limit::{Limiter, LimiterConfig, Quota};

use crate::config::RateLimits;

/// The limiters of the contract. Clones share them.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Inner>);

struct Inner {
    auth: Auth,
    api: Limiter,
    sign_in: Limiter,
    refresh: Limiter,
    statics: Limiter,
}

/// Renewals per address: six tabs and devices behind one address, each with the limit of a session.
const REFRESH_TIMES: NonZeroU32 = const { NonZeroU32::new(6).unwrap() };

impl Limits {
    /// In Redis when there is one, so that gateways share them.
    pub(crate) fn open(limits: &RateLimits, common: &Common, auth: Auth) -> Result<Self, ConfigError> {
        let limiter = |name: &str, quota: Option<Quota>| match &common.redis_url {
            Some(url) => Limiter::redis(url.expose(), name, quota, LimiterConfig::default())
                .map_err(|fault| ConfigError::new("REDIS_URL", fault)),
            None => Ok(Limiter::memory(name, quota, LimiterConfig::default())),
        };
        Ok(Self(Arc::new(Inner {
            auth,
            api: limiter("api", limits.api)?,
            sign_in: limiter("sign-in", limits.auth)?,
            refresh: limiter("refresh", limits.auth.map(|quota| quota.times(REFRESH_TIMES)))?,
            statics: limiter("static", limits.statics)?,
        })))
    }

    /// The limiter of a request and its key; none for what is outside of limits.
    async fn of(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        addr: IpAddr,
    ) -> Option<(&Limiter, String)> {
        let Inner { auth, api, sign_in, refresh, statics } = &*self.0;
        let post = method == Method::POST;
        match path {
            // Health is asked by machines; a webhook proves itself, and a provider that is refused calls again.
            "/health" => None,
            _ if path.starts_with("/api/payments/webhooks/") => None,
            "/api/auth/register" | "/api/auth/login" if post => Some((sign_in, bucket(addr))),
            "/api/auth/refresh" if post => Some((refresh, bucket(addr))),
            _ if path == "/api" || path.starts_with("/api/") => {
                if api.is_off() {
                    return None;
                }
                // A token that does not hold is nobody's: its sender is counted by address.
                let key = match auth.user(headers).await {
                    Ok(user) => format!("user {}", user.id),
                    Err(_) => bucket(addr),
                };
                Some((api, key))
            }
            _ => Some((statics, bucket(addr))),
        }
    }
}

/// Whom an address stands for: in IPv6 a site has a whole /64, and would have a limit for each address of it.
fn bucket(addr: IpAddr) -> String {
    match addr.to_canonical() {
        IpAddr::V4(addr) => addr.to_string(),
        IpAddr::V6(addr) => {
            let [a, b, c, d, ..] = addr.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Refuses what is too much, and tells everyone how much is left.
pub(crate) async fn limit(
    State(limits): State<Limits>,
    ClientAddr(addr): ClientAddr,
    request: Request,
    next: Next,
) -> Response {
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    let Some((limiter, key)) = limits.of(method, path, headers, addr).await else {
        return next.run(request).await;
    };
    let decision = limiter.check(&key).await;
    let mut response = match decision.retry_after() {
        None => next.run(request).await,
        Some(_) => Problem::new(Code::RATE_LIMITED, "too many requests").into_response(),
    };
    let mut told = HeaderMap::new();
    decision.write(&mut told);
    // Both are lists: a limit that the service told of (renewals, per session) stands beside ours.
    for (name, value) in &told {
        response.headers_mut().append(name, value.clone());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn a_site_has_one_limit() {
        let of = |addr: &str| bucket(addr.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
