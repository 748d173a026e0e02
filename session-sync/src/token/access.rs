//! Access tokens: EdDSA JWTs.

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::from_micros;
use crate::error::{Error, ErrorKind};

/// What an access token says.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Claims {
    /// Who signed it.
    pub iss: String,
    /// Whom it is for.
    pub aud: String,
    /// The user's id.
    pub sub: String,
    /// The session's id.
    pub sid: String,
    /// The token's own id, a UUID v7: its milliseconds order a token against a revocation.
    pub jti: String,
    /// The user's role.
    pub role: String,
    /// The user's e-mail address.
    pub email: String,
    /// The user's name.
    pub name: String,
    /// When it was issued, in seconds.
    pub iat: i64,
    /// When it ends, in seconds.
    pub exp: i64,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none.
    #[error("there is no token")]
    Missing,
    /// It is no token of ours.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is up, or the user's role changed: renew it.
    #[error("the token has expired")]
    Expired,
    /// Its session has ended.
    #[error("the token was revoked")]
    Revoked,
    /// The issuer's keys cannot be had, so nothing can be said about the token.
    #[error("the token's key cannot be fetched")]
    Unavailable,
}

// === impl Claims ===

impl Claims {
    /// When the token was issued, as exactly as it says: to the millisecond when the id carries it.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        let precise = Uuid::parse_str(&self.jti)
            .ok()
            .filter(|id| id.get_version_num() == 7)
            .and_then(|id| id.get_timestamp())
            .and_then(|at| {
                let (seconds, nanos) = at.to_unix();
                Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
            });
        precise.unwrap_or_else(|| from_micros(self.iat.saturating_mul(1_000_000)))
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        from_micros(self.exp.saturating_mul(1_000_000))
    }
}

/// A token id that says when it was issued.
pub(crate) fn token_id(at: Timestamp) -> String {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
    let random: [u8; 10] = rand::random();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string()
}

pub(crate) fn sign<T: Serialize>(kid: &str, key: &EncodingKey, claims: &T) -> Result<String, Error> {
    let mut header = Header::new(Algorithm::EdDSA);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, key).map_err(|error| Error::with(ErrorKind::Crypto, error))
}

/// The key id of a token that could be one of ours, before any key is looked at.
pub(crate) fn key_id(token: &str) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Invalid)?;
    if header.alg != Algorithm::EdDSA {
        return Err(TokenError::Invalid);
    }
    header.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID).ok_or(TokenError::Invalid)
}

/// Checks signature, algorithm, issuer and audience. Times are the caller's: it has the clock.
pub(crate) fn open<T: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    issuer: &str,
    audience: &str,
) -> Result<T, TokenError> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    jsonwebtoken::decode::<T>(token, key, &validation)
        .map(|data| data.claims)
        .map_err(|_| TokenError::Invalid)
}

/// Names and addresses stay below 1 KiB; what is longer is not ours and is not worth parsing.
const MAX_TOKEN: usize = 4096;
/// A SHA-256 thumbprint needs 43.
const MAX_KID: usize = 64;
