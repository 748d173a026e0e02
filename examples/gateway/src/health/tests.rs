//! Tests of the system's health: without services, so that time can be paused.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tramline_observability::health::{HealthConfig, Need};

use super::*;

/// A gateway whose own health is `well`, asked as often as the system's is; how often, the second says.
fn system(well: &Arc<AtomicBool>) -> (SystemHealth, Arc<AtomicU32>) {
    let mut config = HealthConfig::default();
    config.fresh = Duration::ZERO;
    config.fresh_not_ready = Duration::ZERO;
    let own = Health::with_config("gateway", config);
    let asked = Arc::new(AtomicU32::new(0));
    let (well, count) = (well.clone(), asked.clone());
    own.check("test", Need::Required, move || {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = if well.load(Ordering::Relaxed) { Ok(()) } else { Err("away") };
        async move { answer }
    });
    let inner = Inner { own, services: Vec::new(), client: JsonClient::new(), last: Mutex::default() };
    (SystemHealth(Arc::new(inner)), asked)
}

/// Scenario: somebody asks every 20 ms while the system starts. The moment at which it is ready is seen within a tenth of
/// a second and not only in the next second; meanwhile nobody is asked more often than that.
#[tokio::test(start_paused = true)]
async fn a_start_is_seen_at_once() {
    let well = Arc::new(AtomicBool::new(false));
    let (system, asked) = system(&well);
    let start = Instant::now();
    let mut seen = None;
    for step in 0..50_u32 {
        if step == 14 {
            well.store(true, Ordering::Relaxed);
        }
        if system.is_well().await {
            seen = Some(start.elapsed());
            break;
        }
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    let seen = seen.expect("within a second");
    assert!((Duration::from_millis(280)..=Duration::from_millis(380)).contains(&seen), "{seen:?}");
    assert!(asked.load(Ordering::Relaxed) <= 5, "{asked:?} in {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_well_is_asked_once_a_second() {
    let well = Arc::new(AtomicBool::new(true));
    let (system, asked) = system(&well);
    assert!(system.is_well().await);
    well.store(false, Ordering::Relaxed);
    tokio::time::advance(Duration::from_millis(999)).await;
    assert!(system.is_well().await);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!system.is_well().await);
}
