//! A broker with its management, for those tests of a process that ask for one.

use devkit::{RabbitMq, RabbitMqConfig};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::sync::OnceCell;
use tramline_event_hub::config::ManagementUrl;
use tramline_event_hub::{AmqpConfig, Hub};

/// A virtual host of one's own on it.
pub(crate) struct Managed {
    pub(crate) broker: &'static RabbitMq,
    pub(crate) url: String,
    pub(crate) vhost: String,
}

// === impl Managed ===

impl Managed {
    /// None when there is no broker here.
    pub(crate) async fn fresh() -> Option<Self> {
        static BROKER: OnceCell<RabbitMq> = OnceCell::const_new();
        // The one that says so when there is none, or fails when there must be one.
        devkit::engines::amqp().await?;
        let start = || async {
            let mut config = RabbitMqConfig::default();
            config.management = true;
            RabbitMq::start_with(&config).await.unwrap()
        };
        let broker = BROKER.get_or_init(start).await;
        let url = broker.fresh_vhost().await.unwrap();
        let vhost = url.rsplit_once('/').unwrap().1.to_owned();
        Some(Self { broker, url, vhost })
    }

    pub(crate) fn config(&self) -> AmqpConfig {
        let mut config = AmqpConfig::default();
        config.management = Some(ManagementUrl::parse(&self.broker.management_url().unwrap()).unwrap());
        config
    }

    /// A hub that knows the management.
    pub(crate) fn hub(&self) -> Hub {
        Hub::amqp(&self.url, self.config()).unwrap()
    }

    /// A hub that does not.
    pub(crate) fn plain_hub(&self) -> Hub {
        Hub::amqp(&self.url, AmqpConfig::default()).unwrap()
    }

    /// As an operator, beside the hub.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("{}/api/{path}", self.broker.management_url().unwrap());
        let mut request = reqwest::Client::new().request(method, url);
        if !body.is_null() {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub(crate) async fn put(&self, path: &str, body: Value) {
        let (status, answer) = self.ask(Method::PUT, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
    }

    /// A queue's arguments, as they are at the broker.
    pub(crate) async fn arguments(&self, queue: &str) -> Value {
        let path = format!("queues/{}/{queue}?columns=arguments", self.vhost);
        self.ask(Method::GET, &path, Value::Null).await.1["arguments"].clone()
    }
}
