//! Who asks: the access token of a request, checked, as an extractor.

mod shell;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use contracts::Role;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use tramline_session_sync::{Claims, Revocations, TokenError, Verifier};
use uuid::Uuid;

use crate::problem::{Code, Problem};

pub use self::shell::{Keys, Snapshot};

/// Checks tokens; [`Service`](crate::Service) puts it into each request's extensions.
#[derive(Clone, Debug)]
pub struct Auth {
    verifier: Verifier,
}

/// An extractor: the user who asks. Without a good token it is the contract's 401.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// What they may do.
    pub role: Role,
    /// All that the token says.
    pub claims: Arc<Claims>,
}

/// An extractor: the user who asks, who is an admin; 403 for other users.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart in their arguments")]
pub struct Admin(pub User);

// === impl Auth ===

impl Auth {
    /// Checks tokens with `verifier`; for tests, and for what [`Shell::auth`](crate::Shell::auth) does not know.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self { verifier }
    }

    /// The verifier.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The revocations that it knows.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        self.verifier.revocations()
    }

    /// Checks the bearer token among `headers`.
    ///
    /// # Errors
    ///
    /// 401 with the contract's codes; 503 when the keys cannot be had.
    pub async fn user(&self, headers: &HeaderMap) -> Result<User, Problem> {
        let token = bearer(headers).ok_or_else(Problem::unauthenticated)?;
        let claims = self.verifier.verify(token).await.map_err(refusal)?;
        // Tokens of ours always have both.
        let (Ok(id), Ok(role)) = (claims.sub.parse(), claims.role.parse()) else {
            return Err(Problem::unauthenticated());
        };
        Ok(User { id, role, claims })
    }
}

// === impl User ===

impl User {
    /// Whether they are an admin.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// The session that the token belongs to.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.claims.sid
    }

    /// Refuses users of other roles.
    ///
    /// # Errors
    ///
    /// 403 `FORBIDDEN`.
    pub fn require(&self, roles: &[Role]) -> Result<(), Problem> {
        if roles.contains(&self.role) { Ok(()) } else { Err(Problem::forbidden()) }
    }
}

impl<S: Sync> FromRequestParts<S> for User {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // Asked by two extractors, checked once.
        if let Some(user) = parts.extensions.get::<Self>() {
            return Ok(user.clone());
        }
        let Some(auth) = parts.extensions.get::<Auth>().cloned() else {
            tracing::error!("a route wants a user, and its service has no `Shell::auth`");
            return Err(Problem::internal());
        };
        let user = auth.user(&parts.headers).await?;
        parts.extensions.insert(user.clone());
        Ok(user)
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = User::from_request_parts(parts, state).await?;
        user.require(&[Role::Admin])?;
        Ok(Self(user))
    }
}

/// A handler for a user's route that is not built yet: 401 first, then 501.
pub async fn not_implemented(_: User) -> Problem {
    Problem::not_implemented()
}

/// A handler for an admin's route that is not built yet: 401 and 403 first, then 501.
pub async fn not_implemented_for_admin(_: Admin) -> Problem {
    Problem::not_implemented()
}

/// A handler for anyone's route that is not built yet: 501.
pub async fn not_implemented_for_anyone() -> Problem {
    Problem::not_implemented()
}

/// The bearer token among `headers`, when there is exactly one `Authorization`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The answer to a token that is not accepted.
#[must_use]
pub fn refusal(error: TokenError) -> Problem {
    match error {
        TokenError::Expired => Problem::new(Code::TOKEN_EXPIRED, "the access token's time is over: renew it"),
        TokenError::Revoked => Problem::new(Code::TOKEN_REVOKED, "the session has ended: sign in again"),
        TokenError::Unavailable => Problem::unavailable("the token cannot be checked at the moment"),
        _ => Problem::unauthenticated(),
    }
}

#[cfg(test)]
mod tests;
