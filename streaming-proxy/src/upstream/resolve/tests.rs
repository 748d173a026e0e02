//! Tests of [`Name`].

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;

fn at(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 80))
}

/// Answers in this order, the last one again and again.
fn scripted(answers: &'static [Option<&'static [u8]>]) -> (LookUp, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let look_up: LookUp = Arc::new(move |_, _| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        let answer = *answers.get(number).unwrap_or(answers.last().unwrap());
        Box::pin(async move {
            let hosts = answer.ok_or(io::Error::from(io::ErrorKind::TimedOut))?;
            Ok(hosts.iter().copied().map(at).collect())
        })
    });
    (look_up, asked)
}

fn counts() -> LookUps {
    LookUps { good: Counter::noop(), failed: Counter::noop() }
}

const EVERY: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn changes_are_told_and_turns_are_none() {
    let (look_up, asked) =
        scripted(&[Some(&[1, 2]), Some(&[2, 1, 2]), None, Some(&[]), Some(&[2, 3]), Some(&[2, 3])]);
    let name = Name::new("a", 80, look_up);
    let told = Arc::new(Mutex::new(Vec::new()));
    let watch = tokio::spawn(name.clone().watch(EVERY, counts(), {
        let (name, told) = (name.clone(), told.clone());
        move || {
            told.lock().unwrap().push(name.addresses().unwrap().to_vec());
            true
        }
    }));
    assert_eq!(name.first().await.unwrap()[..], [at(1), at(2)]);
    tokio::time::sleep(EVERY.mul_f64(1.2)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // Two that fail, the second of which is sooner.
    tokio::time::sleep(EVERY).await;
    assert!(asked.load(Ordering::SeqCst) >= 3);
    assert_eq!(name.addresses().unwrap()[..], [at(1), at(2)], "failures take nothing away");
    tokio::time::sleep(EVERY.mul_f64(10.0)).await;
    assert_eq!(*told.lock().unwrap(), [vec![at(1), at(2)], vec![at(2), at(3)]]);
    assert!(!watch.is_finished());
}

#[tokio::test(start_paused = true)]
async fn each_of_two_who_watch_is_told_whoever_looked() {
    // Scenario: another table of routes has the name too, while the one before still answers a request.
    let (look_up, _) = scripted(&[Some(&[1]), Some(&[1]), Some(&[2])]);
    let name = Name::new("a", 80, look_up);
    let told = Arc::new([const { AtomicUsize::new(0) }; 2]);
    for who in 0..2 {
        let told = told.clone();
        tokio::spawn(name.clone().watch(EVERY, counts(), move || {
            told[who].fetch_add(1, Ordering::SeqCst);
            true
        }));
    }
    tokio::time::sleep(EVERY.mul_f64(3.0)).await;
    assert_eq!(told.each_ref().map(|told| told.load(Ordering::SeqCst)), [2, 2]);
}

#[tokio::test(start_paused = true)]
async fn nothing_found_is_told_at_once_and_asked_again_soon() {
    let (look_up, asked) = scripted(&[None, Some(&[1])]);
    let name = Name::new("a", 80, look_up);
    let watch = tokio::spawn(name.clone().watch(EVERY, counts(), || true));
    let error = name.first().await.unwrap_err();
    assert!(error.source().is_some());
    assert!(name.addresses().is_none());
    tokio::time::sleep(SOONER.mul_f64(1.2)).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(name.first().await.unwrap()[..], [at(1)]);
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn a_resolver_that_hangs_is_asked_once() {
    let (asked, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let look_up: LookUp = {
        let (asked, go) = (asked.clone(), go.clone());
        Arc::new(move |_, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            let go = go.clone();
            Box::pin(async move {
                go.notified().await;
                Ok(vec![at(1)])
            })
        })
    };
    let name = Name::new("a", 80, look_up);
    let watch = tokio::spawn(name.clone().watch(EVERY, counts(), || true));
    for _ in 0..20 {
        assert!(tokio::time::timeout(EVERY, name.first()).await.is_err());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    go.notify_one();
    assert_eq!(name.first().await.unwrap()[..], [at(1)]);
    // It hangs again: what is known stays.
    tokio::time::sleep(EVERY * 20).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(name.first().await.unwrap()[..], [at(1)]);
    watch.abort();
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_those_who_want_to_know_and_long_lists_are_cut() {
    let look_up: LookUp = Arc::new(|_, _| Box::pin(async { Ok((0..200).map(at).collect()) }));
    let name = Name::new("a", 80, look_up);
    name.clone().watch(EVERY, counts(), || false).await;
    assert_eq!(name.addresses().unwrap().len(), MAX_ADDRESSES);
}
