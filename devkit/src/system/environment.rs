//! The variables of the five processes, with keys and secrets made.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::system::service::{Ports, Service};
use crate::{Postgres, RabbitMq, Redis};

/// What the processes are told.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The same for all of them.
    common: Vec<(String, String)>,
    /// `PORT` and `ADMIN_ADDR` of each.
    listeners: Vec<[String; 2]>,
    databases: Vec<String>,
    webhook_secret: String,
}

// === impl Environment ===

impl Environment {
    /// Makes the databases, the key file and the secret, and names them all.
    pub(crate) async fn new(
        ports: &Ports,
        folder: &Path,
        rabbitmq: &RabbitMq,
        redis: &Redis,
        postgres: &Postgres,
    ) -> anyhow::Result<Self> {
        let mut databases = Vec::new();
        for service in &Service::ALL[1..] {
            databases.push(postgres.database(service.name()).await?);
        }
        let gateway = ports.http(Service::Gateway);
        let auth = ports.http(Service::Auth);
        let webhook_secret = kept(&folder.join("psp-webhook.secret"), || secret() + "\n")?;
        let webhook_secret = webhook_secret.trim().to_owned();
        let key_file = folder.join("jwt.key");
        kept(&key_file, || {
            format!(
                "{{\"version\":1,\"sealing_key\":\"{}\",\"first_signing_key\":\"{}\"}}\n",
                secret(),
                secret()
            )
        })?;
        let mut common = vec![
            pair("RABBITMQ_URL", rabbitmq.url()),
            pair("REDIS_URL", redis.url()),
            pair("JWT_KEY_FILE", key_file.to_string_lossy()),
            pair("JWKS_URL", format!("http://127.0.0.1:{auth}/.well-known/jwks.json")),
            pair("PSP_WEBHOOK_SECRET", &webhook_secret),
            pair("PSP_WEBHOOK_URL", format!("http://127.0.0.1:{gateway}/api/payments/webhooks/psp")),
            pair("CORS_ORIGINS", format!("http://localhost:{gateway},http://127.0.0.1:{gateway}")),
            // The limits under which the contract has devkit run.
            pair("RATE_LIMIT_API", "6000/min"),
            pair("RATE_LIMIT_AUTH", "600/min"),
            pair("RATE_LIMIT_STATIC", "off"),
        ];
        for (service, url) in Service::ALL[1..].iter().zip(&databases) {
            let name = service.name().to_uppercase();
            common.push(pair(&format!("{name}_DATABASE_URL"), url));
            let upstream = format!("http://127.0.0.1:{}", ports.http(*service));
            common.push(pair(&format!("{name}_SERVICE_URL"), upstream));
        }
        let listeners = Service::ALL
            .iter()
            .map(|&service| [ports.http(service).to_string(), format!("127.0.0.1:{}", ports.admin(service))])
            .collect();
        Ok(Self { common, listeners, databases, webhook_secret })
    }

    /// Everything that one process is told.
    pub(crate) fn of(&self, service: Service) -> Vec<(String, String)> {
        let [port, admin] = &self.listeners[service as usize];
        let mut all = self.common.clone();
        all.push(pair("PORT", port));
        all.push(pair("ADMIN_ADDR", admin));
        all
    }

    /// What all of them are told alike.
    pub(crate) fn common(&self) -> &[(String, String)] {
        &self.common
    }

    pub(crate) fn webhook_secret(&self) -> &str {
        &self.webhook_secret
    }

    pub(crate) fn database(&self, service: Service) -> Option<&str> {
        let index = (service as usize).checked_sub(1)?;
        self.databases.get(index).map(String::as_str)
    }
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// 32 random bytes as text.
fn secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The file's text; made, readable by us alone, when it is not there.
fn kept(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<String> {
    if path.exists() {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let text = make();
    let mut file: File = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(text)
}
