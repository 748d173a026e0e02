//! What a request asks of the cache.

use http::header::{
    AUTHORIZATION, COOKIE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
    UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::cache::Cache;
use crate::key::Tag;
use crate::layer::http_cache::address::ended;
use crate::layer::http_cache::directives::Directives;
use crate::layer::http_cache::key::HttpKey;
use crate::layer::http_cache::scope::{Audience, Scope};
use crate::layer::http_cache::{HttpAnswer, Shared};
use crate::metrics::http_passed_by;

/// A request that the rule lets be cached.
pub(super) struct Question {
    pub(super) key: HttpKey,
    pub(super) scope: Scope,
    pub(super) way: Way,
    pub(super) wanted: Wanted,
}

/// Where its answer may come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// From what is kept, else the service is asked for all who ask.
    Load,
    /// From what is kept and no older than so many seconds, else the service is asked for this one.
    Stored { max_age: Option<u64> },
    /// From what is kept.
    OnlyStored,
    /// From the service.
    Own,
}

/// What is to be answered.
#[derive(Clone, Default)]
pub(super) struct Wanted {
    /// The head alone.
    pub(super) head: bool,
    pub(super) none_match: Vec<HeaderValue>,
    pub(super) modified_since: Option<HeaderValue>,
}

/// What these ask for, a whole answer is not.
const OTHER: [HeaderName; 5] = [RANGE, IF_RANGE, IF_MATCH, IF_UNMODIFIED_SINCE, UPGRADE];

/// With these a service may take another method, or another path, than the request has.
const OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

// === impl Shared ===

impl Shared {
    /// None: the request passes by. `empty` says that it has no body.
    pub(super) fn question(&self, request: &mut Parts, empty: bool) -> Option<Question> {
        let asked = request.method == Method::GET || request.method == Method::HEAD;
        if !asked {
            return None;
        }
        let scope = (self.rule)(request)?;
        self.asked(request, scope, empty).map_err(|reason| self.passes_by(reason)).ok()
    }

    /// Counts a request that a rule names, and that is not cached all the same.
    pub(super) fn passes_by(&self, reason: &'static str) {
        http_passed_by(self.cache.name(), reason);
    }

    fn asked(&self, request: &mut Parts, scope: Scope, empty: bool) -> Result<Question, &'static str> {
        let credentials = [AUTHORIZATION, COOKIE];
        if scope.without_credentials {
            for name in credentials {
                request.headers.remove(name);
            }
        } else if scope.audience == Audience::Public
            && credentials.iter().any(|name| request.headers.contains_key(name))
        {
            return Err("credentials");
        }
        let headers = &request.headers;
        if OTHER.iter().any(|name| headers.contains_key(name)) {
            return Err("conditions");
        }
        if OVERRIDES.iter().any(|name| headers.contains_key(name) && !scope.vary.contains(name)) {
            return Err("override");
        }
        // It might be part of the question.
        if !empty {
            return Err("body");
        }
        let key = HttpKey::new(request, &scope).ok_or("no_key")?;
        let head = request.method == Method::HEAD;
        let wanted = Wanted {
            head,
            none_match: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
            modified_since: headers.get(IF_MODIFIED_SINCE).cloned(),
        };
        Ok(Question { key, scope, way: way(headers, head), wanted })
    }

    /// The cache by the scope's policy, with its tags; none when they are too many.
    pub(super) fn cache_for(&self, question: &Question) -> Option<Cache<HttpKey, HttpAnswer>> {
        let scope = &question.scope;
        let policy = scope.policy.clone().unwrap_or_else(|| self.cache.policy());
        let tags = scope.tags.iter().cloned().chain(question.key.addresses());
        self.cache.tagged(&policy, tags)
    }

    /// The tags that an unsafe request ends, when it succeeds: what is kept of its own address (RFC 9111, section 4.4),
    /// and what the service says.
    pub(super) fn ended_by(&self, request: &Parts) -> Vec<Tag> {
        let mut tags = self.endings.as_ref().map(|endings| endings(request)).unwrap_or_default();
        let mut asked = request.clone();
        asked.method = Method::GET;
        if let Some(scope) = (self.rule)(&asked) {
            tags.extend(ended(request, &scope));
        }
        tags
    }
}

fn way(headers: &HeaderMap, head: bool) -> Way {
    let said = Directives::of_request(headers);
    match said.max_age {
        _ if said.only_if_cached => Way::OnlyStored,
        _ if said.no_cache => Way::Own,
        Some(0) => Way::Own,
        max_age if head || said.no_store || max_age.is_some() => Way::Stored { max_age },
        _ => Way::Load,
    }
}

/// Without the conditions that are answered from what is kept: an answer to them would be one for who has it already.
pub(super) fn unconditional(headers: &mut HeaderMap) {
    headers.remove(IF_NONE_MATCH);
    headers.remove(IF_MODIFIED_SINCE);
}
