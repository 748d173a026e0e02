//! nginx.

use anyhow::Context;
use nix::unistd;

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
        let path = program::find("nginx").context("nginx is not installed")?;
        let port = Port::reserve()?;
        let scratch = Scratch::new("nginx", None)?;
        let folder = scratch.path().to_string_lossy().into_owned();
        let file = scratch.path().join("nginx.conf");
        std::fs::write(&file, config(&folder, &port, block))?;
        let program = Program::new(path, scratch.path().to_owned()).args([
            "-p",
            &folder,
            "-e",
            &format!("{folder}/error.log"),
            "-c",
            &file.to_string_lossy(),
        ]);
        let probe = |addr| async move { tokio::net::TcpStream::connect(addr).await.is_ok() };
        let server = Server::start("nginx", vec![program], vec![port], scratch, probe).await?;
        Ok(Self { server })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr())
    }
}

server_methods!(Nginx);

fn config(folder: &str, port: &Port, block: &str) -> String {
    // As root its workers would be `nobody`, who cannot reach our folder.
    let user = if unistd::geteuid().is_root() { "user root;" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"))
        .collect();
    format!(
        "{user}\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log info;\nevents {{}}\n\
         http {{\n{temporary}  access_log {folder}/access.log;\n  \
         server {{\n    listen {};\n{block}\n  }}\n}}\n",
        port.addr()
    )
}
