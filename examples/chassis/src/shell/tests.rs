//! Tests of [`Shell`].

use devkit::{RabbitMq, RabbitMqConfig};
use tramline_event_hub::topology::{Queue, Topology};

use super::*;
use crate::config::{Process, Vars};

/// The hub of a service whose variables are these.
fn hub(broker: &RabbitMq, management: Option<String>) -> Hub {
    let mut vars = vec![
        ("RABBITMQ_URL", broker.url()),
        ("JWKS_URL", "http://127.0.0.1:3001/.well-known/jwks.json".to_owned()),
    ];
    vars.extend(management.map(|url| ("RABBITMQ_MANAGEMENT_URL", url)));
    let vars = Vars::new(vars);
    Shell::open_hub(&Common::from_vars(&vars, &Process::payments()).unwrap()).unwrap()
}

/// With the management's URL policies say what may change, and a comparison sees everything.
#[tokio::test]
async fn the_management_s_url_reaches_the_hub() {
    // The one that says so when there is no broker, or fails when there must be one.
    if devkit::engines::amqp().await.is_none() {
        return;
    }
    let mut config = RabbitMqConfig::default();
    config.management = true;
    let broker = RabbitMq::start_with(&config).await.unwrap();
    let managed = hub(&broker, broker.management_url());
    let wanted = |length| Topology::new().queue(Queue::quorum("work").with_max_length(length));
    let declared = managed.declare(&wanted(10)).await.unwrap();
    assert!(declared.made("work") && declared.frozen.is_empty(), "{declared:?}");
    let declared = managed.declare(&wanted(20)).await.unwrap();
    assert!(declared.conflicts.is_empty(), "a policy can change: {declared:?}");
    let difference = managed.compare(&wanted(20)).await.unwrap();
    assert!(difference.holds() && difference.unseen.is_empty(), "{difference}");

    let plain = hub(&broker, None);
    let difference = plain.compare(&wanted(20)).await.unwrap();
    assert!(!difference.unseen.is_empty(), "AMQP alone shows less: {difference}");
    managed.shutdown().await;
    plain.shutdown().await;
}
