//! How sessions and verifiers behave. Defaults stand beside their reason.

use std::time::Duration;

use crate::clock::Clock;

/// How [`Sessions`](crate::Sessions) behave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionsConfig {
    /// `iss` of the access tokens.
    pub issuer: String,
    /// `aud` of the access tokens.
    pub audience: String,
    /// How long an access token lives.
    ///
    /// The default, 15 minutes, bounds what a lost revocation can cost, at four renewals an hour.
    pub access_life: Duration,
    /// How long a refresh token lives without being used.
    ///
    /// The default, 7 days, keeps someone signed in who comes back every weekend.
    pub refresh_idle: Duration,
    /// How long a session lives at most.
    ///
    /// The default, 30 days, is the longest that a stolen device stays signed in.
    pub session_life: Duration,
    /// How long the direct parent of the current refresh token may come again.
    ///
    /// The default, 10 seconds, covers two tabs and a lost answer, not a thief at leisure.
    pub reuse_grace: Duration,
    /// How many live sessions a user may have; the least recently used makes room.
    ///
    /// The default, 100, is more devices than anyone owns and keeps lists and revocations small.
    pub max_sessions_per_user: usize,
    /// How long an ended session's row is kept.
    ///
    /// The default, 1 day, is longer than any access token and enough to answer a late request.
    pub ended_retention: Duration,
    /// How many superseded refresh tokens of a session are remembered for reuse detection.
    ///
    /// The default, 4096, is more than 30 days of renewals every 15 minutes need.
    pub remembered_tokens: u32,
    /// How far clocks may differ; revocations outlive their tokens by this much.
    ///
    /// The default, 60 seconds, is what NTP beats easily.
    pub clock_skew: Duration,
    /// The wall clock.
    pub clock: Clock,
}

/// How a [`Verifier`](crate::Verifier) behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifierConfig {
    /// The only `iss` accepted.
    pub issuer: String,
    /// The only `aud` accepted.
    pub audience: String,
    /// How far the issuer's clock may be behind or ahead.
    ///
    /// The default, 5 seconds, is within one site; tokens live that much longer.
    pub leeway: Duration,
    /// How many verified tokens are remembered.
    ///
    /// The default, 10,000, is 4 MiB or so; a forgotten token costs one signature check.
    pub cached_tokens: usize,
    /// How old the key set may get before it is fetched again.
    ///
    /// The default, 5 minutes, is how long a withdrawn key may still be believed.
    pub max_key_age: Duration,
    /// How long to wait between fetches for unknown key ids.
    ///
    /// The default, 5 seconds, keeps forged key ids from becoming a storm on the issuer.
    pub min_fetch_interval: Duration,
    /// How long a fetch of the key set may take.
    ///
    /// The default, 3 seconds, is far above one request on a local network.
    pub fetch_timeout: Duration,
    /// The wall clock.
    pub clock: Clock,
}

// === impl SessionsConfig ===

impl Default for SessionsConfig {
    fn default() -> Self {
        Self {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            access_life: Duration::from_secs(15 * 60),
            refresh_idle: Duration::from_secs(7 * 24 * 60 * 60),
            session_life: Duration::from_secs(30 * 24 * 60 * 60),
            reuse_grace: Duration::from_secs(10),
            max_sessions_per_user: 100,
            ended_retention: Duration::from_secs(24 * 60 * 60),
            remembered_tokens: 4096,
            clock_skew: Duration::from_secs(60),
            clock: Clock::system(),
        }
    }
}

// === impl VerifierConfig ===

impl Default for VerifierConfig {
    fn default() -> Self {
        Self {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            leeway: Duration::from_secs(5),
            cached_tokens: 10_000,
            max_key_age: Duration::from_secs(5 * 60),
            min_fetch_interval: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(3),
            clock: Clock::system(),
        }
    }
}

/// The default issuer: a name, since the system has no fixed public address.
const ISSUER: &str = "tramline";
/// The default audience: every service of one system shares it.
const AUDIENCE: &str = "tramline";
