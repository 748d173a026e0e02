//! Several relays on one outbox in PostgreSQL.

use tramline_event_hub::AmqpConfig;

use super::*;
use crate::database::Running;

/// The locks of partitions and members: those with one number of 64 bits.
const LOCKS: &str = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

async fn until_shares(relays: &[Running], shares: std::ops::RangeInclusive<u32>) {
    for relay in relays {
        let wanted = |status: &tramline_event_hub::outbox::RelayStatus| {
            usize::try_from(status.relays) == Ok(relays.len()) && shares.contains(&status.partitions)
        };
        relay.until("a fair share", wanted).await;
    }
}

/// A few orders of each of 50 keys, in one transaction.
async fn enqueue_round(db: &Database, places: std::ops::Range<u32>) {
    let mut tx = db.begin().await;
    for n in places {
        for key in 0..50 {
            tx.enqueue(&placed(&format!("key-{key}"), n)).await;
        }
    }
    tx.commit().await;
}

/// Three relays send; one loses its connection in the middle, and one more comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_send_a_fair_share_in_order_while_one_is_cut_off_and_one_comes() {
    let Some(url) = devkit::engines::fresh_vhost().await else { return };
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = || Hub::amqp(&url, AmqpConfig::default()).unwrap();
    let topology = orders();
    let mut hubs = vec![hub(), hub(), hub()];
    for hub in &hubs {
        hub.declare(&topology).await.unwrap();
    }
    let mut orders = Collector::new(&hubs[0], "orders.queue");
    let mut relays: Vec<_> = hubs.iter().map(|hub| db.relay(hub, config())).collect();
    until_shares(&relays, 5..=6).await;

    for round in 0..4 {
        enqueue_round(&db, round * 5..(round + 1) * 5).await;
    }
    let mut events = orders.distinct(300).await;
    db.execute(&format!(
        "SELECT pg_terminate_backend(pid) FROM ({LOCKS} GROUP BY pid ORDER BY count(*) DESC LIMIT 1) AS one"
    ))
    .await;
    hubs.push(hub());
    hubs[3].declare(&topology).await.unwrap();
    relays.push(db.relay(&hubs[3], config()));
    enqueue_round(&db, 20..25).await;
    until_shares(&relays, 4..=4).await;
    for round in 5..8 {
        enqueue_round(&db, round * 5..(round + 1) * 5).await;
    }
    let mut seen: HashSet<_> = events.iter().map(|event| event.id.clone()).collect();
    while events.len() < 2_000 {
        let Ok(event) = timeout(Duration::from_secs(60), orders.events.recv()).await else {
            let statuses: Vec<_> = relays.iter().map(Running::status).collect();
            panic!("{} of 2000, {} wait: {statuses:#?}", events.len(), db.number(WAITING).await);
        };
        let event = event.unwrap();
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    assert_ordered(&events);
    db.until(ALL, 0).await;
    until_shares(&relays, 4..=4).await;
    for relay in &relays {
        assert!(relay.status().sent > 0, "{:?}", relay.status());
    }
    // In order they go, and each leaves its partitions to the rest.
    while let Some(relay) = relays.pop() {
        relay.stop().await;
        if !relays.is_empty() {
            let relays_left = u32::try_from(relays.len()).unwrap();
            until_shares(&relays, 16 / relays_left..=16_u32.div_ceil(relays_left)).await;
        }
    }
    assert_eq!(db.number(&format!("SELECT count(*) FROM ({LOCKS}) AS locks")).await, 0);
    for hub in hubs {
        hub.shutdown().await;
    }
}

/// What is out holds its partition: with the hub stuck, nothing changes hands, and nothing is sent twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_changes_hands_when_nothing_of_it_is_out() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let mut small = MemoryConfig::default();
    small.queue_capacity.0 = 1;
    let hub = Hub::memory(small);
    hub.declare(&orders()).await.unwrap();
    let mut patient = config();
    // Longer than this test waits: what is not settled keeps its partition.
    patient.drain_timeout = Duration::from_secs(120);
    let mut relays = vec![db.relay(&hub, patient.clone())];
    until_shares(&relays, 16..=16).await;
    // Enough keys for every partition. One event is in the queue; all others wait for room there.
    let mut tx = db.begin().await;
    for n in 0..2 {
        for key in 0..150 {
            tx.enqueue(&placed(&format!("key-{key}"), n)).await;
        }
    }
    tx.commit().await;
    db.until(UNSETTLED, 1).await;
    relays.push(db.relay(&hub, patient));
    for relay in &relays {
        relay.until("both are seen", |status| status.relays == 2).await;
    }
    // Another round of looks, so that the first one has decided what it gives.
    relays[0].waker.notify();
    assert_eq!((relays[0].status().partitions, relays[1].status().partitions), (16, 0));

    let mut collector = Collector::new(&hub, "orders.queue");
    let mut events = Vec::new();
    for _ in 0..300 {
        events.push(collector.next().await);
    }
    assert_ordered(&events);
    db.until(ALL, 0).await;
    assert!(collector.events.try_recv().is_err(), "nothing was sent twice");
    until_shares(&relays, 8..=8).await;
    db.enqueue(&placed("new", 0)).await;
    assert_ordered(&[collector.next().await]);
}

/// On the memory hub a row stays until its event is settled, whoever sent it and whoever has its partition then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsettled_rows_of_a_relay_that_is_gone_are_sent_again_by_the_others() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut relays: Vec<_> = (0..3).map(|_| db.relay(&hub, config())).collect();
    until_shares(&relays, 5..=6).await;
    enqueue_round(&db, 0..2).await;
    db.until(UNSETTLED, 100).await;
    // One dies; another loses its connection and with it the right to its rows, but not the rows' events.
    relays.remove(0).kill().await;
    db.execute(&format!("SELECT pg_terminate_backend(pid) FROM ({LOCKS} GROUP BY pid LIMIT 1) AS one")).await;
    until_shares(&relays, 8..=8).await;
    db.until(UNSETTLED, 100).await;
    assert_eq!(db.number(ALL).await, 100, "none goes before it is settled");
    let messages = hub.queue("orders.queue").await.unwrap().unwrap().messages;
    assert!(messages > 100, "what the dead one had sent was sent again");
    let mut orders = Collector::new(&hub, "orders.queue");
    assert_ordered(&orders.distinct(100).await);
    db.until(ALL, 0).await;
}

/// A connection that was lost for a moment costs no settled event: the relay still waits for what it sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_was_cut_off_does_not_send_again_what_is_not_settled() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let relay = db.relay(&hub, config());
    enqueue_round(&db, 0..1).await;
    db.until(UNSETTLED, 50).await;
    let old = db.number(&format!("SELECT max(pid)::bigint FROM ({LOCKS}) AS locks")).await;
    db.execute(&format!("SELECT pg_terminate_backend({old})")).await;
    // Sixteen partitions, and the one that counts it among those that share.
    db.until(&format!("SELECT count(*) FROM ({LOCKS}) AS locks WHERE pid <> {old}"), 17).await;
    enqueue_round(&db, 1..2).await;
    db.until(UNSETTLED, 100).await;
    assert_eq!(hub.queue("orders.queue").await.unwrap().unwrap().messages, 100);
    let mut orders = Collector::new(&hub, "orders.queue");
    assert_ordered(&orders.distinct(100).await);
    db.until(ALL, 0).await;
    relay.stop().await;
}

/// No relay polls here: a commit has to wake the one whose partition it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_wakes_the_relay_that_has_its_partition() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut slow = config();
    slow.poll_interval = Duration::from_secs(600);
    slow.gauge_interval = Duration::from_secs(600);
    let relays: Vec<_> = (0..2).map(|_| db.relay(&hub, slow.clone())).collect();
    until_shares(&relays, 8..=8).await;
    db.until(
        "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"tramline_outbox\"' \
              AND state = 'idle' AND datname = current_database()",
        2,
    )
    .await;
    let mut tx = db.begin().await;
    for key in 0..40 {
        tx.enqueue(&placed(&format!("key-{key}"), 0)).await;
    }
    tx.commit().await;
    orders.distinct(40).await;
    for key in 0..20 {
        db.enqueue(&placed(&format!("key-{key}"), 1)).await;
        orders.next().await;
        db.enqueue(&event("orders.order.placed", None, &json!({}))).await;
        orders.next().await;
    }
    for relay in relays {
        assert!(relay.status().sent > 0);
        relay.stop().await;
    }
}

/// An event that cannot be sent holds back a long queue of its key: looking for others must not read that queue
/// each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_behind_a_held_event_is_not_read_again_and_again() {
    let Some(db) = Database::postgres().await else { return };
    db.migrate().await.unwrap();
    let hub = memory().await;
    let mut orders = Collector::new(&hub, "orders.queue");
    let mut patient = config();
    patient.first_delay = Duration::from_secs(600);
    patient.max_delay = Duration::from_secs(600);
    // Counting reads the whole queue, by intent. Nor is it looked at while it is written: rows that are not
    // committed yet cost a step each.
    patient.gauge_interval = Duration::from_secs(600);
    patient.poll_interval = Duration::from_secs(600);
    let relay = db.relay(&hub, patient);
    db.enqueue(&placed("free", 0)).await;
    orders.next().await;
    let mut tx = db.begin().await;
    tx.enqueue(&event("bills.bill.made", Some("held"), &json!({}))).await;
    tx.execute(
        "INSERT INTO outbox (event_id, ordering_key, body, created_at) \
         SELECT event_id || '-' || n, ordering_key, body, created_at FROM outbox, generate_series(1, 20000) AS n \
         WHERE ordering_key = 'held'",
    )
    .await;
    tx.commit().await;
    db.until("SELECT count(*) FROM outbox WHERE attempts > 0", 1).await;
    let looks = "SELECT sum(idx_scan)::bigint FROM pg_stat_user_indexes WHERE relname = 'outbox'";
    let before = db.number(looks).await;
    for n in 1..=20 {
        db.enqueue(&placed("free", n)).await;
        orders.next().await;
    }
    // The server's figures come late. Each look begins with a step into each partition.
    let figures = async {
        while db.number(looks).await < before + 20 * 16 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), figures).await.expect("the figures in time");
    let read = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE relname = 'outbox'";
    let read = db.number(read).await;
    assert!(read < 20_000, "{read} index entries");
    relay.stop().await;
}
