//! nginx.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, ensure};
use nix::unistd;
use tokio::process::Command;

use crate::ports::Port;
use crate::process::Program;
use crate::program;
use crate::scratch::Scratch;
use crate::server::{Server, server_methods};

/// A private nginx. Ends when dropped.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
}

// === impl Nginx ===

impl Nginx {
    /// Whether the program is there.
    #[must_use]
    pub fn installed() -> bool {
        program::find("nginx").is_some()
    }

    /// Starts one with a single server, whose block holds `block` beside its `listen`, and returns
    /// when it accepts connections.
    ///
    /// # Errors
    ///
    /// If it is not installed, refuses the configuration, or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start(block: &str) -> anyhow::Result<Self> {
        Self::start_with(1, |_, addrs| Ok(format!("server {{\n    listen {};\n{block}\n  }}\n", addrs[0])))
            .await
    }

    /// Starts one whose `http` block holds what `http` makes of its folder, where files of yours may
    /// stand, and of as many addresses to listen on as `ports` says, the first of which is
    /// [`addr`](Self::addr). Relative paths in it are below the folder.
    ///
    /// # Errors
    ///
    /// If `http` fails; if it is not installed, refuses the configuration, or does not come up.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is killed.
    pub async fn start_with(
        ports: usize,
        http: impl FnOnce(&Path, &[SocketAddr]) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let path = program::find("nginx").context("nginx is not installed")?;
        let ports = (0..ports.max(1)).map(|_| Port::reserve()).collect::<Result<Vec<_>, _>>()?;
        let addrs: Vec<_> = ports.iter().map(Port::addr).collect();
        let scratch = Scratch::new("nginx", None)?;
        let folder = scratch.path().to_string_lossy().into_owned();
        let http = http(scratch.path(), &addrs)?;
        std::fs::write(scratch.path().join(FILE), config(&folder, &http))?;
        let program = Program::new(path, scratch.path().to_owned()).args(arguments(scratch.path()));
        let probe = |addr| async move { tokio::net::TcpStream::connect(addr).await.is_ok() };
        let server = Server::start("nginx", vec![program], ports, scratch, probe).await?;
        Ok(Self { server })
    }

    /// What `nginx -t` says of its configuration.
    ///
    /// # Errors
    ///
    /// If it refuses the configuration; the message says why.
    pub async fn check(&self) -> anyhow::Result<String> {
        let path = program::find("nginx").context("nginx is not installed")?;
        let mut command = Command::new(path);
        command.args(arguments(self.folder())).arg("-t").kill_on_drop(true);
        let output = command.output().await?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "nginx -t: {words}");
        Ok(words)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }
}

server_methods!(Nginx);

/// Its configuration, below its folder.
const FILE: &str = "nginx.conf";

fn arguments(folder: &Path) -> Vec<String> {
    let place = folder.to_string_lossy();
    let [errors, file] = ["error.log", FILE].map(|name| format!("{place}/{name}"));
    vec!["-p".to_owned(), place.into_owned(), "-e".to_owned(), errors, "-c".to_owned(), file]
}

fn config(folder: &str, http: &str) -> String {
    // As root its workers would be `nobody`, who cannot reach our folder.
    let user = if unistd::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        "{user}\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log info;\nevents {{}}\n\
         http {{\n{temporary}  access_log {folder}/access.log;\n  {http}\n}}\n"
    )
}
