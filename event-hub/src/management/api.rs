//! What a hub asks of the management, and tells it.

use std::time::Duration;

use hyper::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, ErrorKind};
use crate::management::ManagementUrl;
use crate::management::http::{Answer, Door, Session};
use crate::topology::definitions::object;
use crate::topology::import::{Definitions, Found};
use crate::topology::{Policy, Unknown};

/// The management of one broker.
#[derive(Clone, Debug)]
pub(crate) struct Management(Door);

/// Why a policy was not set: the management's words.
pub(crate) type Refusal = String;

// === impl Management ===

impl Management {
    pub(crate) fn new(url: ManagementUrl, roots: Option<&str>, patience: Duration) -> Result<Self, Error> {
        Ok(Self(Door::new(url, roots, patience)?))
    }

    /// All that is declared in the virtual host.
    pub(crate) async fn read(&self, vhost: &str) -> Result<Found, Error> {
        let mut session = self.0.open().await?;
        let here = encode(vhost);
        let overview: Value = self.get(&mut session, "overview?columns=rabbitmq_version").await?;
        let mut definitions = Definitions::default();
        let version = &overview["rabbitmq_version"];
        version.as_str().unwrap_or_default().clone_into(&mut definitions.rabbitmq_version);
        definitions.exchanges =
            self.get(&mut session, &format!("exchanges/{here}?columns={EXCHANGE}")).await?;
        definitions.queues = self.get(&mut session, &format!("queues/{here}?columns={QUEUE}")).await?;
        definitions.bindings = self.get(&mut session, &format!("bindings/{here}?columns={BINDING}")).await?;
        let mut hidden = Vec::new();
        definitions.policies = self.see(&mut session, "policies", &here, &mut hidden).await?;
        definitions.operator_policies =
            self.see(&mut session, "operator-policies", &here, &mut hidden).await?;
        let mut found = definitions.found(vhost);
        found.imported.unknown.extend(hidden);
        Ok(found)
    }

    /// Sets the policies; one that is refused does not stop the others.
    pub(crate) async fn set(
        &self,
        vhost: &str,
        policies: Vec<Policy>,
    ) -> Result<Vec<(Policy, Refusal)>, Error> {
        let mut refused = Vec::new();
        if policies.is_empty() {
            return Ok(refused);
        }
        let mut session = self.0.open().await?;
        for policy in policies {
            let body = json!({
                "pattern": policy.pattern, "apply-to": policy.applies_to.as_str(), "priority": policy.priority,
                "definition": object(&policy.definition),
            });
            let path = format!("policies/{}/{}", encode(vhost), encode(&policy.name));
            let answer = session.ask(Method::PUT, &path, Some(&body)).await?;
            if !answer.status.is_success() {
                refused.push((policy, words(&answer)));
            }
        }
        Ok(refused)
    }

    /// Removes policies.
    pub(crate) async fn unset(&self, vhost: &str, names: &[String]) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let mut session = self.0.open().await?;
        for name in names {
            let path = format!("policies/{}/{}", encode(vhost), encode(name));
            let answer = session.ask(Method::DELETE, &path, None).await?;
            if !answer.status.is_success() && answer.status != StatusCode::NOT_FOUND {
                tracing::warn!(policy = name, answer = words(&answer), "policy not removed");
            }
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, session: &mut Session<'_>, path: &str) -> Result<T, Error> {
        let answer = session.ask(Method::GET, path, None).await?;
        self.parse(&answer, path)
    }

    /// Policies, if this user may see them.
    async fn see<T: DeserializeOwned + Default>(
        &self,
        session: &mut Session<'_>,
        what: &str,
        here: &str,
        hidden: &mut Vec<Unknown>,
    ) -> Result<T, Error> {
        let path = format!("{what}/{here}");
        let answer = session.ask(Method::GET, &path, None).await?;
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let text = format!("{what}: the management does not show them to this user");
            hidden.push(Unknown { item: None, text });
            return Ok(T::default());
        }
        self.parse(&answer, &path)
    }

    fn parse<T: DeserializeOwned>(&self, answer: &Answer, path: &str) -> Result<T, Error> {
        let path = path.split('?').next().unwrap_or(path);
        if !answer.status.is_success() {
            let what = format!("answered {path}: {}", words(answer));
            return Err(self.0.error(ErrorKind::Broker, &what));
        }
        serde_json::from_slice(&answer.body).map_err(|error| {
            self.0.error(ErrorKind::Broker, &format!("answered {path} in other words")).with_source(error)
        })
    }
}

/// Status and reason, cut: it goes into logs.
fn words(answer: &Answer) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let reason: String = text.chars().take(300).collect();
    format!("{} {}", answer.status, reason.trim())
}

fn encode(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

// What a topology has words for; the rest of a queue's entry is statistics, which cost the broker far more.
const EXCHANGE: &str = "name,vhost,type,durable,auto_delete,internal,arguments";
const QUEUE: &str = "name,vhost,durable,auto_delete,exclusive,arguments";
const BINDING: &str = "source,vhost,destination,destination_type,routing_key,arguments";
