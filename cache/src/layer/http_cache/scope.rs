//! For whom an answer is, and how it is kept.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use crate::cache::Cache;
use crate::key::Tag;
use crate::layer::http_cache::{HttpAnswer, HttpKey};
use crate::policy::Policy;

/// For whom the answer to a request is, and how it is kept. Without one, a request passes by.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) audience: Audience,
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) tags: Vec<Tag>,
    pub(super) vary: Vec<HeaderName>,
    place: Option<Arc<str>>,
    pub(super) any_host: bool,
    pub(super) only_its_own: bool,
    pub(super) sorted_query: bool,
    pub(super) without_credentials: bool,
}

/// Who gets the same answer.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) enum Audience {
    Public,
    Role(Arc<str>),
    User(Arc<str>),
}

// === impl Scope ===

impl Scope {
    fn of(audience: Audience) -> Self {
        Self {
            audience,
            policy: None,
            tags: Vec::new(),
            vary: Vec::new(),
            place: None,
            any_host: false,
            only_its_own: false,
            sorted_query: false,
            without_credentials: false,
        }
    }

    /// The same for everybody. Requests with `Authorization` or `Cookie` pass by, see
    /// [`without_credentials`](Self::without_credentials).
    #[must_use]
    pub fn public() -> Self {
        Self::of(Audience::Public)
    }

    /// The same for all who have this role, though they have credentials of their own: the service must not look at who
    /// of them it is. Who has it, something in front of the layer must have made sure.
    #[must_use]
    pub fn role(role: impl Into<Arc<str>>) -> Self {
        Self::of(Audience::Role(role.into()))
    }

    /// For this user only. Who it is, something in front of the layer must have made sure: a name that the request
    /// brings unproven is anybody's.
    #[must_use]
    pub fn user(id: impl Into<Arc<str>>) -> Self {
        Self::of(Audience::User(id.into()))
    }

    /// Kept by the policy of this handle, instead of that of the layer's. It is made once, outside of the rule, of the same
    /// cache: a policy that cannot be used is refused there.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use http::request::Parts;
    /// # use tramline_cache::layer::http_cache::{HttpAnswer, HttpCacheConfig, HttpCacheLayer, HttpKey, Scope};
    /// use tramline_cache::{Cache, Error, Policy};
    ///
    /// fn layer(answers: Cache<HttpKey, HttpAnswer>) -> Result<HttpCacheLayer, Error> {
    ///     let seldom = answers.with_policy(Policy::new(Duration::from_secs(3600)))?;
    ///     let rule = move |request: &Parts| match request.uri.path() {
    ///         "/terms" => Some(Scope::public().with_policy_of(&seldom)),
    ///         _ => Some(Scope::public()),
    ///     };
    ///     Ok(HttpCacheLayer::new(answers, HttpCacheConfig::default(), rule))
    /// }
    /// ```
    #[must_use]
    pub fn with_policy_of(mut self, cache: &Cache<HttpKey, HttpAnswer>) -> Self {
        self.policy = Some(cache.policy());
        self
    }

    /// The part of the path that a router in front has taken off, or the whole path with it. It becomes a part of the key, and
    /// of the address that unsafe requests end: see [the module](crate::layer::http_cache#where-to-put-it).
    #[must_use]
    pub fn with_place(mut self, place: impl Into<Arc<str>>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// The same by whatever name the service is asked: the host is no part of the key, and an unsafe request by one name
    /// ends what is kept by the others. The service must not look at `Host`, nor make links with it.
    #[must_use]
    pub fn for_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// An unsafe request ends, of what is kept of its address for users, what is for its own: as with a list, of which
    /// each has another one. Without this it is what is for every user, since they may see the same thing.
    #[must_use]
    pub fn only_its_own(mut self) -> Self {
        self.only_its_own = true;
        self
    }

    /// Ends with this tag, too. An answer with more than [`Policy::MAX_TAGS`](crate::Policy::MAX_TAGS), those of the policy and
    /// of its address (one, or two for a user's) included, is not cached.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tags.push(tag);
        self
    }

    /// Depends on this header field of the request. What `Vary` of an answer names is found out too; said here, the
    /// service need not be asked once to find it out.
    #[must_use]
    pub fn with_vary(mut self, header: HeaderName) -> Self {
        self.vary.push(header);
        self
    }

    /// The order of the query's parameters means nothing: `?a=1&b=2` is `?b=2&a=1`. Without this it is taken as it is,
    /// and so is one with a name that has `%` or `+` in it.
    #[must_use]
    pub fn with_sorted_query(mut self) -> Self {
        self.sorted_query = true;
        self
    }

    /// Takes `Authorization` and `Cookie` off the request, so that the answer is the same for those who send them. Off
    /// those requests, too, that pass by for another reason, `GET` and `HEAD`.
    /// What else tells who asks, such as an extension that a layer in front put there, is yours to mind.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.without_credentials = true;
        self
    }

    pub(super) fn place(&self) -> &str {
        self.place.as_deref().unwrap_or_default()
    }
}

// === impl Audience ===

impl fmt::Debug for Audience {
    // Who it is may be personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "Public",
            Self::Role(_) => "Role(…)",
            Self::User(_) => "User(…)",
        })
    }
}
