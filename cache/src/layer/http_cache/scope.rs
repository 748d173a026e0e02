//! For whom an answer is, and how it is kept.

use std::fmt;
use std::sync::Arc;

use http::HeaderName;

use crate::error::Error;
use crate::key::Tag;
use crate::policy::Policy;

/// For whom the answer to a request is, and how it is kept. Without one, a request passes by.
#[derive(Clone, Debug)]
pub struct Scope {
    pub(super) audience: Audience,
    pub(super) policy: Option<Arc<Policy>>,
    pub(super) tags: Vec<Tag>,
    pub(super) vary: Vec<HeaderName>,
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

    /// Kept by this policy instead of the cache's. Make it once, and clone the `Arc`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the policy cannot be used.
    pub fn with_policy(mut self, policy: Arc<Policy>) -> Result<Self, Error> {
        policy.check()?;
        self.policy = Some(policy);
        Ok(self)
    }

    /// Ends with this tag, too. An answer with more than [`MAX_TAGS`](crate::policy::MAX_TAGS), those of the policy and
    /// one for its address included, is not cached.
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

    /// The order of the query's parameters means nothing: `?a=1&b=2` is `?b=2&a=1`. Without this it is taken as it is.
    #[must_use]
    pub fn with_sorted_query(mut self) -> Self {
        self.sorted_query = true;
        self
    }

    /// Takes `Authorization` and `Cookie` off the request, so that the answer is the same for those who send them.
    /// What else tells who asks, such as an extension that a layer in front put there, is yours to mind.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.without_credentials = true;
        self
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
