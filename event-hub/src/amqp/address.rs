//! Where the broker is: one URL, or several of one cluster.

use std::fmt;
use std::time::Duration;

use lapin::uri::AMQPUri;

use crate::error::{Error, ErrorKind};

/// One address. Prints without user and password.
#[derive(Clone)]
pub(super) struct Address(pub(super) AMQPUri);

/// Reads `amqp://…,amqps://…`. A comma counts where another URL follows it: passwords may have one.
pub(super) fn parse(urls: &str, heartbeat: Duration) -> Result<Vec<Address>, Error> {
    let mut addresses = Vec::new();
    let mut rest = urls;
    loop {
        let next = rest.match_indices(',').map(|(at, _)| at).find(|at| starts_url(&rest[at + 1..]));
        let url = rest[..next.unwrap_or(rest.len())].trim();
        if url.ends_with(',') {
            return Err(Error::new(ErrorKind::Config, "an empty one among the broker's URLs"));
        }
        addresses.push(Address::parse(url, heartbeat)?);
        let Some(at) = next else { return Ok(addresses) };
        rest = &rest[at + 1..];
    }
}

fn starts_url(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with("amqp://") || text.starts_with("amqps://")
}

// === impl Address ===

impl Address {
    fn parse(url: &str, heartbeat: Duration) -> Result<Self, Error> {
        let mut uri: AMQPUri = url
            .parse()
            .map_err(|why: String| Error::new(ErrorKind::Config, "the broker's URL").with_source(why))?;
        if uri.vhost.is_empty() {
            // `amqp://host/` names the empty virtual host, which nobody has and everybody means «/» by.
            "/".clone_into(&mut uri.vhost);
        }
        let heartbeat = u16::try_from(heartbeat.as_secs().max(1)).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(heartbeat);
        Ok(Self(uri))
    }

    /// What the URL says of it, or else this.
    pub(super) fn connect_timeout(&self, otherwise: Duration) -> Duration {
        self.0.query.connection_timeout.map_or(otherwise, Duration::from_millis)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.0;
        write!(f, "{scheme}://{}:{} {vhost}", authority.host, authority.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests;
