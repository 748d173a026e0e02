//! The writer's own connection, on a real Redis.

use devkit::Fault;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::super::config::RedisConfig;
use super::*;

/// What the gauge says after each change.
fn is_shown(snapshot: Vec<DebugValue>) -> Vec<bool> {
    let shown = |value| match value {
        DebugValue::Gauge(value) => value.into_inner() > 0.5,
        other => panic!("{other:?}"),
    };
    snapshot.into_iter().map(shown).collect()
}

/// The connection breaks that publishes, and nobody does so: it is told all the same, and when it is back.
#[tokio::test]
async fn a_connection_that_nobody_uses_is_looked_after() {
    let Some(url) = devkit::engines::redis().await else { return };
    let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
    let metrics = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(recorder);
    let gauge = || {
        let all = metrics.snapshot().into_vec().into_iter();
        let up = all.filter(|(key, ..)| key.key().name() == "ws.backplane.up");
        is_shown(up.map(|(.., value)| value).collect())
    };
    let (fault, through) = Fault::in_front_of(url).await.unwrap();
    let mut config = RedisConfig::new(through);
    config.prefix = format!("test:writer:{}:", std::process::id());
    config.patience = Duration::from_millis(500);
    let shared = Arc::new(Shared::new(Connector::new(config).unwrap()));
    assert_eq!(gauge(), [false], "from the start");
    // The others stand, as far as is known.
    for task in [Task::Reader, Task::Revocations] {
        shared.up.set(task, true);
    }
    let (_jobs, queue) = mpsc::channel(1);
    let writing = tokio::spawn(Writer::new(Arc::clone(&shared), queue).run());
    let becomes = async |up: bool| {
        let waited = async {
            while shared.up.is_up(Duration::from_nanos(1)) != up {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(Duration::from_secs(20), waited).await.expect("known in time");
        assert_eq!(gauge(), [up]);
    };
    becomes(true).await;
    fault.cut();
    becomes(false).await;
    fault.heal();
    becomes(true).await;
    // As when a cable is pulled.
    fault.half_open();
    becomes(false).await;
    fault.heal();
    becomes(true).await;
    writing.abort();
}
