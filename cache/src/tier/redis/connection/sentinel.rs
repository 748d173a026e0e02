//! A master that sentinels watch over.

use ::redis::aio::MultiplexedConnection;
use ::redis::{Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value, cmd};
use futures_util::future::select_ok;

use crate::tier::redis::connection::open;

#[derive(Debug)]
pub(super) struct Sentinels {
    sentinels: Vec<Client>,
    name: String,
    /// How to connect to it, but for the address.
    master: ConnectionInfo,
}

// === impl Sentinels ===

impl Sentinels {
    pub(super) fn new(
        urls: &[String],
        master: &str,
        client: impl Fn(&str) -> RedisResult<Client>,
    ) -> RedisResult<Self> {
        let sentinels = urls.iter().map(|url| client(url)).collect::<RedisResult<Vec<_>>>()?;
        // A name need not be one of a host.
        let (info, name) = if master.contains("://") {
            let info = client(master)?.get_connection_info().clone();
            let name = match info.addr() {
                ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. } => name.clone(),
                _ => String::new(),
            };
            (info, name)
        } else {
            (client("redis://master")?.get_connection_info().clone(), master.to_owned())
        };
        if sentinels.is_empty() || name.is_empty() {
            let detail = "there must be sentinels, and their master must have a name";
            return Err(RedisError::from((ErrorKind::InvalidClientConfig, detail)));
        }
        Ok(Self { sentinels, name, master: info })
    }

    /// The number of the master's database.
    pub(super) fn database(&self) -> i64 {
        self.master.redis_settings().db()
    }

    /// All are asked at once: one that hangs, or has not heard of the newest master, costs nothing.
    pub(super) async fn master(&self) -> RedisResult<(Client, MultiplexedConnection)> {
        let asked = self.sentinels.iter().map(|sentinel| Box::pin(self.by(sentinel)));
        select_ok(asked).await.map(|(found, _)| found)
    }

    /// The one that this sentinel knows, if it says of itself that it is the master.
    async fn by(&self, sentinel: &Client) -> RedisResult<(Client, MultiplexedConnection)> {
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        let answer: Option<(String, u16)> = ask.query_async(&mut open(sentinel).await?).await?;
        let unknown = || RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, "no such master"));
        let (host, port) = answer.ok_or_else(unknown)?;
        let client = Client::open(self.master.clone().set_addr(self.address(host, port)))?;
        let mut wire = open(&client).await?;
        let role: Vec<Value> = cmd("ROLE").query_async(&mut wire).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok((client, wire)),
            _ => Err(RedisError::from((ErrorKind::Io, "it is the master no more"))),
        }
    }

    fn address(&self, host: String, port: u16) -> ConnectionAddr {
        match self.master.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        }
    }
}
