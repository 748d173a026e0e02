//! RabbitMQ's management API: what AMQP cannot see or say. Arguments, bindings, policies.

mod api;
mod http;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::error::{Error, ErrorKind};

pub(crate) use crate::management::api::Management;
pub(crate) use crate::topology::import::Found;

/// Where a broker's management API is: `http://user:password@host:15672`, or `https`. Prints without its password.
#[derive(Clone, Eq, PartialEq)]
pub struct ManagementUrl {
    tls: bool,
    host: String,
    port: u16,
    /// What stands before `/api`, without a slash at its end.
    path: String,
    user: String,
    /// The whole `authorization` header.
    authorization: String,
}

impl ManagementUrl {
    /// Reads it. Without a user it is `guest` with the password `guest`, as in AMQP.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] when it is no URL of `http` or `https`. The text is not repeated: it has a password.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |what: &str| Error::new(ErrorKind::Config, format!("the management URL {what}"));
        let url = Url::parse(text).map_err(|error| bad("cannot be read").with_source(error))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(bad("is neither http nor https")),
        };
        let host = url.host_str().ok_or_else(|| bad("has no host"))?;
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        let named = !url.username().is_empty();
        let user = if named { url.username() } else { "guest" };
        let password = url.password().unwrap_or(if named { "" } else { "guest" });
        let user = decode(user).map_err(|_| bad("has a user that is no UTF-8"))?;
        let password = decode(password).map_err(|_| bad("has a password that is no UTF-8"))?;
        Ok(Self {
            tls,
            // An IPv6 address stands in brackets.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().ok_or_else(|| bad("has no port"))?,
            path: url.path().trim_end_matches('/').to_owned(),
            authorization: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
            user,
        })
    }
}

impl fmt::Display for ManagementUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}@{}:{}{}", self.user, self.host, self.port, self.path)
    }
}

impl fmt::Debug for ManagementUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ManagementUrl({self})")
    }
}

#[cfg(test)]
mod tests;
