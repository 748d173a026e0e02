//! Values that logs must not show.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use url::Url;

use crate::db::Db;

/// A text whose `Debug` does not show it.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

/// A URL whose `Debug` shows neither user, password nor query.
#[derive(Clone, Eq, PartialEq)]
pub struct SecretUrl(Url);

/// The URL of a database, `postgres://…` or `sqlite:path`, whose `Debug` shows the scheme only.
#[derive(Clone, Eq, PartialEq)]
pub struct DatabaseUrl(String);

// === impl DatabaseUrl ===

impl DatabaseUrl {
    /// The URL itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Db::check_url(text).map(|()| Self(text.to_owned()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split(':').next().unwrap_or_default();
        write!(f, "{scheme}:«secret»")
    }
}

// === impl Secret ===

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("«secret»")
    }
}

// === impl SecretUrl ===

impl SecretUrl {
    /// The URL itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }

    /// The URL itself, parsed.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Refuses a URL whose scheme is not one of `schemes`.
    ///
    /// # Errors
    ///
    /// A text that names the schemes.
    pub fn with_scheme(self, schemes: &[&str]) -> Result<Self, String> {
        if schemes.contains(&self.0.scheme()) {
            Ok(self)
        } else {
            Err(format!("the URL's scheme is none of {}", schemes.join(", ")))
        }
    }
}

impl From<Url> for SecretUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl FromStr for SecretUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Url::parse(text).map(Self).map_err(|e| format!("is no URL: {e}"))
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
        f.write_str(self.0.path())
    }
}
