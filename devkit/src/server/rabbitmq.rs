//! RabbitMQ.

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

/// A private RabbitMQ without plugins; user and password are `guest`. Ends when dropped.
#[derive(Debug)]
pub struct RabbitMq {
    server: Server,
    /// Where its Erlang node listens.
    node_port: u16,
}

// === impl RabbitMq ===

impl RabbitMq {
    /// Whether the programs are there.
    #[must_use]
    pub fn installed() -> bool {
        program::all(&[program::rabbitmq(), program::find("epmd")])
    }

    /// Starts one and returns when it answers.
    ///
    /// # Errors
    ///
    /// If it is not installed or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start() -> anyhow::Result<Self> {
        let path = program::rabbitmq().context("rabbitmq-server is not installed")?;
        let epmd = program::find("epmd").context("epmd is not installed")?;
        let [port, epmd_port, node_port] = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let scratch = Scratch::new("rabbitmq", None)?;
        write_config(scratch.path(), &port)?;
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
        let number = node_port.number();
        let ports = vec![port, epmd_port, node_port];
        let server = Server::start("RabbitMQ", vec![names, broker], ports, scratch, |addr| {
            // A method frame on channel 0: `connection.start`.
            wire::answers(addr, b"AMQP\x00\x00\x09\x01", &[1, 0, 0])
        })
        .await?;
        Ok(Self { server, node_port: number })
    }

    /// `amqp://127.0.0.1:PORT/%2f`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://{}/%2f", self.addr())
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

fn write_config(folder: &Path, port: &Port) -> anyhow::Result<()> {
    let config = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         num_acceptors.tcp = 2\n\
         log.console = false\n\
         log.file.level = info\n\
         disk_free_limit.absolute = 10MB\n\
         vm_memory_high_watermark.absolute = 512MiB\n",
        port.number()
    );
    std::fs::write(folder.join("rabbitmq.conf"), config)?;
    std::fs::write(folder.join("enabled_plugins"), "[].\n")?;
    Ok(())
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
