//! Connections that come back: other addresses, TLS, refusals, a broker that does not read, a peer that is not there.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use devkit::{Fault, Permissions, RabbitMq, RabbitMqConfig, RabbitMqTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tramline_event_hub::config::ManagementUrl;
use tramline_event_hub::topology::Queue;
use tramline_event_hub::{AmqpConfig, Hub, PublishErrorKind};

use crate::faults::{config, event, listen, topology};
use crate::support::managed::Managed;
use crate::support::{name, soon, until};

/// One of a cluster's nodes goes: the hub is back through another.
#[tokio::test]
async fn another_address_is_tried() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (one, first) = Fault::in_front_of(url).await.unwrap();
    let (other, second) = Fault::in_front_of(url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&format!("amqp://127.0.0.1:1,{first},{second}"), settings).unwrap();
    let queue = format!("{prefix}.work");
    soon("a declaration", hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")]))).await.unwrap();
    for (down, up) in [(&one, &other), (&other, &one), (&one, &other)] {
        up.heal();
        down.cut();
        let sent = event("a.b", 1);
        soon("a confirm through the other", async { while hub.publish(&sent).await.is_err() {} }).await;
        until("both sides", || hub.health().ready()).await;
    }
    hub.shutdown().await;
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn server(&self) -> RabbitMqTls {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        RabbitMqTls::new(&self.pem, certificate.pem(), key.serialize_pem())
    }
}

/// `amqps` and a management at `https`: believed with the authority that signed them, and with no other.
#[tokio::test]
async fn tls_believes_its_own_authority_and_no_other() {
    if !RabbitMq::installed() {
        return;
    }
    let authority = Authority::new();
    let mut private = RabbitMqConfig::default();
    private.management = true;
    private.tls = Some(authority.server());
    let broker = RabbitMq::start_with(&private).await.unwrap();
    let url = broker.tls_url().unwrap();
    let prefix = name();
    let with = |roots: Option<String>| {
        let mut settings = config(&prefix);
        settings.root_certificates = roots;
        settings.backoff_max = Duration::from_millis(200);
        settings.management = Some(ManagementUrl::parse(&broker.management_tls_url().unwrap()).unwrap());
        Hub::amqp(&url, settings).unwrap()
    };
    let hub = with(Some(authority.pem.clone()));
    let queue = format!("{prefix}.work");
    let wanted = topology(&prefix, &[(Queue::quorum(&queue), "#")]);
    soon("a declaration", hub.declare(&wanted)).await.unwrap();
    let difference = soon("a comparison", hub.compare(&wanted)).await.unwrap();
    assert!(difference.holds(), "{difference}");
    let (mut seen, _stop, _task) = listen(&hub, &queue);
    let sent = event("a.b", 1);
    let _receipt = hub.publish(&sent).await.unwrap();
    assert_eq!(soon("it", seen.recv()).await.unwrap().0, sent.id.to_string());

    for roots in [None, Some(Authority::new().pem)] {
        let hub = with(roots);
        until("a refusal", || hub.health().trouble.is_some()).await;
        let trouble = hub.health().trouble.unwrap();
        assert!(trouble.contains("certificate"), "{trouble}");
        assert!(!hub.health().connected);
        let error = hub.compare(&wanted).await.unwrap_err();
        assert_eq!(error.kind(), tramline_event_hub::ErrorKind::Broker);
        hub.shutdown().await;
    }
    hub.shutdown().await;
}

/// A user who may not make one of the queues: told, and the rest is made, at each connection.
#[tokio::test]
async fn a_missing_permission_is_told_and_the_rest_goes_on() {
    // Shared: users and virtual hosts are the test's own.
    let Some(Managed { broker, url: vhost, .. }) = Managed::fresh().await else { return };
    let prefix = name();
    let mine = format!("^({prefix}|tramline[.]delay[.]).*");
    let url = broker.user(&vhost, "limited", Permissions::new(&mine, ".*", ".*")).await.unwrap();
    let (fault, url) = Fault::in_front_of(&url).await.unwrap();
    let mut settings = config(&prefix);
    settings.backoff_max = Duration::from_millis(100);
    let hub = Hub::amqp(&url, settings).unwrap();
    let queue = format!("{prefix}.work");
    let wanted = topology(&prefix, &[(Queue::quorum(&queue), "#")]).queue(Queue::quorum("forbidden"));
    let declared = soon("a declaration", hub.declare(&wanted)).await.unwrap();
    let told: Vec<_> = declared.conflicts.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(told[0], "forbidden", "{declared:?}");
    assert!(declared.conflicts[0].text.contains("ACCESS_REFUSED"), "{declared:?}");
    assert!(declared.made(&queue) && !declared.made("forbidden"));

    let (mut seen, stop, consumer) = listen(&hub, &queue);
    until("the consumer", || hub.health().ready()).await;
    for _ in 0..3 {
        fault.cut_once();
        until("the loss", || !hub.health().ready()).await;
        until("the return", || hub.health().ready()).await;
        // Both connections are new ones once an event has gone through them.
        let through = async {
            let sent = loop {
                let sent = event("a.b", 0);
                if hub.publish(&sent).await.is_ok() {
                    break sent;
                }
            };
            while seen.recv().await.unwrap().0 != sent.id.as_str() {}
        };
        soon("an event", through).await;
        until("all of it", || hub.health().ready()).await;
        // It stays: the refusal is no reason to connect again.
        for _ in 0..20 {
            let sent = event("a.b", 1);
            let _receipt = soon("a confirm", hub.publish(&sent)).await.unwrap();
            // What was handled as the connection was cut comes once more.
            while soon("it", seen.recv()).await.unwrap().0 != sent.id.as_str() {}
            assert!(hub.health().ready());
        }
    }
    drop(stop);
    soon("the drain", consumer).await.unwrap();
    hub.shutdown().await;
}

/// Counts who comes, and lets them through.
async fn counted(upstream: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<Instant>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (addr, times) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&times);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            seen.lock().unwrap().push(Instant::now());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    (addr, times)
}

/// A wrong password is told at once and tried again slowly; when the user is there, so is the connection.
#[tokio::test]
async fn a_refused_user_is_told_and_tried_slowly() {
    // Shared: users and virtual hosts are the test's own.
    let Some(Managed { broker, url: vhost, .. }) = Managed::fresh().await else { return };
    let (addr, times) = counted(broker.addr()).await;
    let path = vhost.rsplit_once('/').unwrap().1;
    let mut settings = AmqpConfig::default();
    settings.backoff_first = Duration::from_millis(1);
    settings.backoff_max = Duration::from_millis(700);
    let hub = Hub::amqp(&format!("amqp://later:later@{addr}/{path}"), settings).unwrap();
    until("a refusal", || hub.health().trouble.is_some()).await;
    let trouble = hub.health().trouble.unwrap();
    assert!(trouble.contains("ACCESS_REFUSED") && !trouble.contains("later:later"), "{trouble}");
    until("four tries", || times.lock().unwrap().len() >= 4).await;
    let tries = times.lock().unwrap().clone();
    for pair in tries.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(700), "{tries:?}");
    }
    broker.user(&vhost, "later", Permissions::new(".*", ".*", ".*")).await.unwrap();
    until("the connection", || hub.health().connected).await;
    assert_eq!(hub.health().trouble, None);
    hub.shutdown().await;
}

/// A broker that is short of memory reads nothing from a publisher: told in error and health, while consuming goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_short_of_memory_is_told_and_consuming_goes_on() {
    if !RabbitMq::installed() {
        return;
    }
    let broker = RabbitMq::start().await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    // Only what is blocked may take as long.
    settings.hub.publish_timeout = Duration::from_secs(8);
    let hub = Hub::amqp(&broker.url(), settings).unwrap();
    let queue = format!("{prefix}.work");
    soon("a declaration", hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")]))).await.unwrap();
    let mut waiting = BTreeSet::new();
    for n in 0..50 {
        let sent = event("a.b", n);
        let _receipt = hub.publish(&sent).await.unwrap();
        waiting.insert(sent.id.to_string());
    }

    broker.short_of_memory(true).await.unwrap();
    // It tells those that publish, at their next publish.
    let told = async {
        loop {
            match hub.publish(&event("a.late", 0)).await {
                Err(error) if *error.kind() == PublishErrorKind::Blocked => return error,
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    let error = soon("the block", told).await;
    assert!(error.may_have_arrived(), "{error}");
    let health = hub.health();
    assert!(health.connected && health.blocked && !health.ready(), "{health:?}");

    // Not held up: consuming has a connection of its own.
    let (mut seen, stop, consumer) = listen(&hub, &queue);
    while !waiting.is_empty() {
        let (id, _) = soon("what waited", seen.recv()).await.unwrap();
        waiting.remove(&id);
    }
    drop(stop);
    soon("the drain", consumer).await.unwrap();
    assert!(hub.health().blocked);

    broker.short_of_memory(false).await.unwrap();
    until("the end of it", || !hub.health().blocked).await;
    let _receipt = soon("a confirm", hub.publish(&event("a.b", 1))).await.unwrap();
    assert!(hub.health().ready());

    // It ends in time even while nobody reads.
    broker.short_of_memory(true).await.unwrap();
    let blocked = async {
        while !hub.health().blocked {
            let _ = hub.publish(&event("a.b", 2)).await;
        }
    };
    soon("the block", blocked).await;
    soon("the end", hub.shutdown()).await;
    broker.short_of_memory(false).await.unwrap();
}

/// A pulled cable: noticed by the missing heartbeats; what was accepted is handled, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_peer_is_noticed_and_nothing_is_lost() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let (fault, cut_url) = Fault::in_front_of(&url).await.unwrap();
    let prefix = name();
    let mut settings = config(&prefix);
    settings.heartbeat = Duration::from_secs(1);
    settings.connect_timeout = Duration::from_secs(2);
    settings.backoff_max = Duration::from_millis(200);
    settings.hub.publish_timeout = Duration::from_secs(2);
    let hub = Hub::amqp(&cut_url, settings).unwrap();
    let queue = format!("{prefix}.work");
    soon("a declaration", hub.declare(&topology(&prefix, &[(Queue::quorum(&queue), "#")]))).await.unwrap();
    let (mut seen, stop, consumer) = listen(&hub, &queue);
    until("the consumer", || hub.health().ready()).await;

    let publisher = tokio::spawn({
        let hub = hub.clone();
        async move {
            let mut accepted = BTreeSet::new();
            for n in 0..100 {
                let mut answer = hub.publish(&event("a.b", n)).await;
                let id = loop {
                    match answer {
                        Ok(_) => break None,
                        Err(error) => {
                            assert!(error.may_have_arrived(), "{error}");
                            let again = error.into_event();
                            answer = hub.publish(&again).await;
                            if answer.is_ok() {
                                break Some(again.id.to_string());
                            }
                        }
                    }
                };
                accepted.extend(id);
            }
            accepted
        }
    });
    let mut got = BTreeSet::new();
    while got.len() < 10 {
        got.insert(soon("traffic", seen.recv()).await.unwrap().0);
    }
    fault.half_open();
    until("the silence to be noticed", || !hub.health().connected).await;
    fault.heal();
    let doubtful = soon("the publisher", publisher).await.unwrap();
    while got.len() < 100 {
        got.insert(soon("the rest", seen.recv()).await.unwrap().0);
    }
    assert!(doubtful.is_subset(&got), "sent again after the silence, and handled");
    until("all of it", || hub.health().ready()).await;
    drop(stop);
    soon("the drain", consumer).await.unwrap();
    hub.shutdown().await;
}

/// The hub is there before its broker.
#[tokio::test]
async fn a_broker_that_starts_later_is_found() {
    if !RabbitMq::installed() {
        return;
    }
    let broker = RabbitMq::start().await.unwrap();
    broker.kill().await;
    let prefix = name();
    let hub = Hub::amqp(&broker.url(), config(&prefix)).unwrap();
    until("a failure", || hub.health().trouble.is_some()).await;
    assert!(!hub.health().connected);
    let queue = format!("{prefix}.work");
    let wanted = topology(&prefix, &[(Queue::quorum(&queue), "#")]);
    let declaring = tokio::spawn({
        let hub = hub.clone();
        async move { hub.declare(&wanted).await.unwrap().made(&queue) }
    });
    broker.restart().await.unwrap();
    assert!(soon("the declaration", declaring).await.unwrap());
    let _receipt = hub.publish(&event("a.b", 1)).await.unwrap();
    hub.shutdown().await;
}

/// Many queues over a slow line, and one that someone has declared otherwise: more round trips than a connection has
/// patience, and the hub is back all the same.
#[tokio::test]
async fn many_queues_on_a_slow_line_are_made_again() {
    let Some(url) = devkit::engines::amqp().await else { return };
    let (fault, slow_url) = Fault::in_front_of(url).await.unwrap();
    let prefix = name();
    let odd = Queue::classic(format!("{prefix}.odd"));
    let other = Hub::amqp(url, config(&prefix)).unwrap();
    soon("the odd one", other.declare(&topology(&prefix, &[(odd.clone(), "odd")]))).await.unwrap();
    let names: Vec<String> = (0..60).map(|n| format!("{prefix}.{n}")).collect();
    let mut queues: Vec<_> = names.iter().map(|name| (Queue::classic(name), name.as_str())).collect();
    queues.push((odd.with_max_length(7), "odd"));
    let mut settings = config(&prefix);
    settings.connect_timeout = Duration::from_secs(1);
    settings.backoff_max = Duration::from_millis(200);
    let hub = Hub::amqp(&slow_url, settings).unwrap();
    let declared = soon("a declaration", hub.declare(&topology(&prefix, &queues))).await.unwrap();
    let conflicts: Vec<_> = declared.conflicts.iter().map(|conflict| conflict.name.as_str()).collect();
    assert_eq!(conflicts, [format!("{prefix}.odd")]);
    fault.delay(Duration::from_millis(5));
    fault.cut_once();
    until("the loss", || !hub.health().connected).await;
    until("the return", || hub.health().connected).await;
    let _receipt = soon("a confirm", hub.publish(&event(&names[7], 1))).await.unwrap();
    hub.shutdown().await;
    other.shutdown().await;
}
