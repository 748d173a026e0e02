//! RabbitMQ.

mod files;
pub(crate) mod vhost;

use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Server, server_methods};
use crate::wire;

/// One scheduler and few helpers: test servers share two cores with compilers. Busy waiting off,
/// distribution on loopback only.
const ERLANG_ARGS: &str = "+S 1:1 +SDcpu 1:1 +SDio 2 +A 2 +sbwt none +sbwtdcpu none +sbwtdio none \
     -kernel inet_dist_use_interface {127,0,0,1} -noinput";

/// A private RabbitMQ; user and password are `guest`. Ends when dropped.
#[derive(Debug)]
pub struct RabbitMq {
    server: Server,
    /// Where its Erlang node listens.
    node_port: u16,
    management_port: Option<u16>,
    tls_port: Option<u16>,
    management_tls_port: Option<u16>,
}

/// What a private RabbitMQ has beside its plain listener. Each costs start-up time, so there is nothing by default.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RabbitMqConfig {
    /// Whether the management plugin runs: twice the start-up time.
    pub management: bool,
    /// A second listener, for `amqps`; and one of the management, for `https`.
    pub tls: Option<RabbitMqTls>,
    /// Further lines of its `rabbitmq.conf`.
    pub settings: Vec<String>,
    /// Its `advanced.config`, for what the former has no words for.
    pub advanced: Option<String>,
}

/// What the listener for `amqps` shows, in PEM.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RabbitMqTls {
    /// Who has signed the certificate.
    pub authority: String,
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// What one user may do in one virtual host: regular expressions for names, `""` for none.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Permissions<'a> {
    /// What it may make and delete.
    pub configure: &'a str,
    /// What it may publish to.
    pub write: &'a str,
    /// What it may consume from.
    pub read: &'a str,
}

// === impl RabbitMq ===

impl RabbitMq {
    /// Whether the programs are there.
    #[must_use]
    pub fn installed() -> bool {
        program::all(&[program::rabbitmq(), program::find("epmd")])
    }

    /// Starts one without plugins and returns when it answers.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&RabbitMqConfig::default()).await
    }

    /// Starts one with what the test asks for, and returns when all of it answers.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start_with(config: &RabbitMqConfig) -> anyhow::Result<Self> {
        let path = program::rabbitmq().context("rabbitmq-server is not installed")?;
        let epmd = program::find("epmd").context("epmd is not installed")?;
        let [port, epmd_port, node_port] = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let management_port = config.management.then(Port::reserve).transpose()?;
        let tls_port = config.tls.is_some().then(Port::reserve).transpose()?;
        let both = config.management && config.tls.is_some();
        let management_tls_port = both.then(Port::reserve).transpose()?;
        let scratch = Scratch::new("rabbitmq", None)?;
        let ports = files::Ports {
            plain: &port,
            management: management_port.as_ref(),
            tls: tls_port.as_ref(),
            management_tls: management_tls_port.as_ref(),
        };
        files::write(scratch.path(), config, &ports)?;
        // Its own name server, in a group that we own: the one that Erlang would start by itself
        // is a daemon that outlives it.
        let mut names = Program::new(epmd, scratch.path().to_owned()).args([
            "-port",
            &epmd_port.number().to_string(),
            "-address",
            "127.0.0.1",
        ]);
        names.log = scratch.path().join("epmd.log");
        let broker = broker(path, scratch.path(), &port, &epmd_port, &node_port);
        let number = |port: &Option<Port>| port.as_ref().map(Port::number);
        let (node, management, tls) = (node_port.number(), number(&management_port), number(&tls_port));
        let management_tls = number(&management_tls_port);
        // Plugins listen later than the broker does.
        let others: Vec<_> =
            management_port.iter().chain(&tls_port).chain(&management_tls_port).map(Port::addr).collect();
        let ports = [port, epmd_port, node_port]
            .into_iter()
            .chain(management_port)
            .chain(tls_port)
            .chain(management_tls_port)
            .collect();
        let server = Server::start("RabbitMQ", vec![names, broker], ports, scratch, move |addr| {
            let others = others.clone();
            async move {
                for other in others {
                    if tokio::net::TcpStream::connect(other).await.is_err() {
                        return false;
                    }
                }
                // A method frame on channel 0: `connection.start`.
                wire::answers(addr, b"AMQP\x00\x00\x09\x01", &[1, 0, 0]).await
            }
        })
        .await?;
        Ok(Self {
            server,
            node_port: node,
            management_port: management,
            tls_port: tls,
            management_tls_port: management_tls,
        })
    }

    /// `amqp://127.0.0.1:PORT/%2f`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://{}/%2f", self.addr())
    }

    /// `amqps://localhost:PORT/%2f`, if it was started with TLS.
    #[must_use]
    pub fn tls_url(&self) -> Option<String> {
        Some(format!("amqps://localhost:{}/%2f", self.tls_port?))
    }

    /// `http://guest:guest@127.0.0.1:PORT`, if it was started with its management.
    #[must_use]
    pub fn management_url(&self) -> Option<String> {
        Some(format!("http://guest:guest@127.0.0.1:{}", self.management_port?))
    }

    /// `https://guest:guest@localhost:PORT`, if it was started with its management and TLS.
    #[must_use]
    pub fn management_tls_url(&self) -> Option<String> {
        Some(format!("https://guest:guest@localhost:{}", self.management_tls_port?))
    }

    /// Makes a user who may do this much in the virtual host of `url`, and returns the URL for it.
    ///
    /// # Errors
    ///
    /// If the broker is away or refuses.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the user may have been made.
    pub async fn user(&self, url: &str, name: &str, may: Permissions<'_>) -> anyhow::Result<String> {
        let vhost = url.rsplit_once('/').context("a URL without a virtual host")?.1.replace("%2f", "/");
        vhost::user(&self.node()?, name, &vhost, may).await?;
        Ok(url.replacen("amqp://", &format!("amqp://{name}:{name}@"), 1))
    }

    /// Makes the broker short of memory, as long as told: it then reads nothing more from those who publish.
    ///
    /// # Errors
    ///
    /// If the broker is away or refuses.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may have been told.
    pub async fn short_of_memory(&self, short: bool) -> anyhow::Result<()> {
        let limit = if short { "0.000001" } else { "{absolute, \"512MiB\"}" };
        vhost::watermark(&self.node()?, limit).await
    }

    /// Makes an empty virtual host and returns its URL.
    ///
    /// # Errors
    ///
    /// If the broker is away.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the virtual host may have been made.
    pub async fn fresh_vhost(&self) -> anyhow::Result<String> {
        let name = vhost::fresh(&self.node()?).await?;
        Ok(format!("amqp://{}/{name}", self.addr()))
    }

    /// How to reach its Erlang node: `PORT:COOKIE`.
    pub(crate) fn node(&self) -> anyhow::Result<String> {
        let cookie = std::fs::read_to_string(self.folder().join(".erlang.cookie"))
            .context("the broker has no cookie yet")?;
        Ok(format!("{}:{}", self.node_port, cookie.trim()))
    }
}

server_methods!(RabbitMq);

// === impl RabbitMqTls ===

impl RabbitMqTls {
    /// From PEM texts.
    pub fn new(authority: impl Into<String>, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        Self { authority: authority.into(), certificate: certificate.into(), key: key.into() }
    }
}

// === impl Permissions ===

impl<'a> Permissions<'a> {
    /// To make, to publish, to consume.
    #[must_use]
    pub fn new(configure: &'a str, write: &'a str, read: &'a str) -> Self {
        Self { configure, write, read }
    }
}

fn broker(path: PathBuf, folder: &Path, port: &Port, epmd_port: &Port, node_port: &Port) -> Program {
    Program::new(path, folder.to_owned())
        .env("HOME", folder)
        .env("RABBITMQ_NODENAME", format!("devkit{}@localhost", port.number()))
        .env("RABBITMQ_DIST_PORT", node_port.number().to_string())
        .env("ERL_EPMD_PORT", epmd_port.number().to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_FLAGS", "-start_epmd false")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", ERLANG_ARGS)
        // The script then becomes the broker, instead of a parent that passes signals on; what it
        // says of input is taken back above.
        .env("RABBITMQ_ALLOW_INPUT", "1")
        .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
        .env("RABBITMQ_BASE", folder)
        .env("RABBITMQ_MNESIA_BASE", folder.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", folder.join("log"))
        .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", folder.join("advanced.config"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("enabled_plugins"))
        .env("RABBITMQ_PID_FILE", folder.join("pid"))
}
