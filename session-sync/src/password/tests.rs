//! Tests of hashing.

use super::*;

fn cheap() -> PasswordConfig {
    PasswordConfig { memory_kib: 64, iterations: 1, ..PasswordConfig::default() }
}

#[tokio::test]
async fn only_the_password_matches_its_hash() {
    let passwords = Passwords::new(&cheap());
    let phc = passwords.hash("correct horse").await.unwrap();
    assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
    assert!(passwords.verify("correct horse", &phc).await.unwrap());
    assert!(!passwords.verify("correct horsf", &phc).await.unwrap());
    assert_ne!(phc, passwords.hash("correct horse").await.unwrap());
    passwords.verify_dummy("whatever").await.unwrap();
    let broken = passwords.verify("x", "no hash").await.unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::Crypto);
}

#[tokio::test]
async fn an_endless_password_is_wrong_and_cheap() {
    let passwords = Passwords::new(&cheap());
    let cut = "x".repeat(MAX_BYTES);
    let phc = passwords.hash(&cut).await.unwrap();
    assert!(passwords.verify(&cut, &phc).await.unwrap());
    let longer = "x".repeat(1 << 20);
    assert!(!passwords.verify(&longer, &phc).await.unwrap());
}

#[tokio::test]
async fn grown_parameters_ask_for_a_new_hash() {
    let old = Passwords::new(&cheap());
    let new = Passwords::default();
    let phc = old.hash("p").await.unwrap();
    assert!(!old.needs_rehash(&phc));
    assert!(new.needs_rehash(&phc));
    assert!(new.needs_rehash("$2b$12$abc"));
    // An old hash still verifies: its own parameters count.
    assert!(new.verify("p", &phc).await.unwrap());
}

#[tokio::test]
async fn too_many_callers_are_refused_and_leave_no_trace() {
    let passwords = Passwords::new(&PasswordConfig { concurrency: 1, waiting: 1, ..cheap() });
    // The only place is taken, so that the calls below wait.
    let place = Arc::clone(&passwords.0.places).acquire_owned().await.unwrap();
    let mut first = tokio_test(passwords.hash("a"));
    let mut second = tokio_test(passwords.hash("b"));
    assert!(first.poll().is_none());
    assert!(second.poll().is_none());
    let refused = passwords.hash("c").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Busy);
    drop((first, second));
    drop(place);
    assert_eq!(passwords.0.present.load(Ordering::Relaxed), 0);
    passwords.hash("d").await.unwrap();
}

/// Polls a future by hand.
struct Manual<'a, T>(std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>);

fn tokio_test<'a, T>(future: impl Future<Output = T> + Send + 'a) -> Manual<'a, T> {
    Manual(Box::pin(future))
}

impl<T> Manual<'_, T> {
    fn poll(&mut self) -> Option<T> {
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        match self.0.as_mut().poll(&mut cx) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }
}
