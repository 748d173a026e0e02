//! How a session gets a connection.

use std::fmt::Write as _;
use std::future::Future;

use http::{HeaderValue, Uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Client, Options};
use super::session::SessionConfig;
use super::transport::Transport;
use crate::auth::Credential;
use crate::error::{Error, ErrorKind};

/// Opens connections. Tests have one that opens pipes.
pub(super) trait Dial: Send + 'static {
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// One connection, after the handshake. The caller limits the time.
    fn dial(
        &mut self,
        credential: &Credential,
    ) -> impl Future<Output = Result<Client<Self::Io>, Error>> + Send;
}

/// Opens them over TCP.
#[derive(Debug)]
pub(super) struct Network {
    url: String,
    options: Options,
}

// === impl Network ===

impl Network {
    /// For a URL that can be connected to, as far as it can be told without trying.
    pub(super) fn new(config: &SessionConfig) -> Result<Self, Error> {
        // A fragment is not sent (RFC 6455, 3).
        let url = config.url.split('#').next().unwrap_or_default();
        let url = match url.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => url.to_owned(),
        };
        let uri: Uri = url.parse().map_err(|error| Error::with(ErrorKind::Connect, error))?;
        Transport::target(&uri).map_err(|error| Error::with(ErrorKind::Connect, error))?;
        let mut options = Options::default();
        options.origin.clone_from(&config.origin);
        #[cfg(feature = "client-tls")]
        {
            options.roots = config.roots.clone();
        }
        Ok(Self { url, options })
    }
}

impl Dial for Network {
    type Io = Transport;

    async fn dial(&mut self, credential: &Credential) -> Result<Client, Error> {
        let mut options = self.options.clone();
        let mut url = self.url.clone();
        match credential {
            Credential::Bearer(token) => {
                HeaderValue::from_str(token).map_err(|error| Error::with(ErrorKind::Credential, error))?;
                options.token = Some(token.clone());
            }
            Credential::Ticket(ticket) => {
                url.push_str(if url.contains('?') { "&ticket=" } else { "?ticket=" });
                encode(ticket, &mut url);
            }
        }
        Client::connect(&url, options).await
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, 2.3).
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // A string takes everything.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}
