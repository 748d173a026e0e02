//! What a broker reads at its start.

use std::fmt::Write as _;
use std::path::Path;

use crate::ports::Port;
use crate::server::rabbitmq::RabbitMqConfig;

/// Where it listens.
pub(super) struct Ports<'a> {
    pub(super) plain: &'a Port,
    pub(super) management: Option<&'a Port>,
    pub(super) tls: Option<&'a Port>,
    pub(super) management_tls: Option<&'a Port>,
}

pub(super) fn write(folder: &Path, config: &RabbitMqConfig, ports: &Ports<'_>) -> anyhow::Result<()> {
    let Ports { plain: port, management, tls, management_tls } = *ports;
    let mut text = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         num_acceptors.tcp = 2\n\
         log.console = false\n\
         log.file.level = info\n\
         disk_free_limit.absolute = 10MB\n\
         vm_memory_high_watermark.absolute = 512MiB\n",
        port.number()
    );
    for line in &config.settings {
        writeln!(text, "{line}")?;
    }
    if let Some(port) = management {
        write!(text, "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {}\n", port.number())?;
    }
    if let (Some(port), Some(tls)) = (tls, &config.tls) {
        let name = |file: &str| folder.join(file);
        for (file, pem) in [("ca.pem", &tls.authority), ("cert.pem", &tls.certificate), ("key.pem", &tls.key)]
        {
            std::fs::write(name(file), pem)?;
        }
        write!(
            text,
            "listeners.ssl.1 = 127.0.0.1:{}\nnum_acceptors.ssl = 2\n\
             ssl_options.cacertfile = {}\nssl_options.certfile = {}\nssl_options.keyfile = {}\n\
             ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n",
            port.number(),
            name("ca.pem").display(),
            name("cert.pem").display(),
            name("key.pem").display(),
        )?;
    }
    if let Some(port) = management_tls {
        write!(
            text,
            "management.ssl.ip = 127.0.0.1\nmanagement.ssl.port = {}\nmanagement.ssl.cacertfile = {}\n\
             management.ssl.certfile = {}\nmanagement.ssl.keyfile = {}\n",
            port.number(),
            folder.join("ca.pem").display(),
            folder.join("cert.pem").display(),
            folder.join("key.pem").display(),
        )?;
    }
    std::fs::write(folder.join("rabbitmq.conf"), text)?;
    if let Some(advanced) = &config.advanced {
        std::fs::write(folder.join("advanced.config"), advanced)?;
    }
    let plugins = if management.is_some() { "[rabbitmq_management].\n" } else { "[].\n" };
    std::fs::write(folder.join("enabled_plugins"), plugins)?;
    Ok(())
}
