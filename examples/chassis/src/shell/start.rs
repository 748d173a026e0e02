//! Trying again until something is there.

use std::error::Error as StdError;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::PAUSES;

/// Runs `step` until it succeeds or `stop` comes, with drawn pauses that double.
pub(crate) async fn until_done<F, E>(name: &'static str, stop: &CancellationToken, step: &impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: StdError,
{
    let (first, longest) = PAUSES;
    let mut bound = first;
    loop {
        match stop.run_until_cancelled(step()).await {
            None | Some(Ok(())) => return,
            Some(Err(error)) => tracing::warn!(error = chain(&error), name, "not done yet, trying again"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(drawn(bound))).await.is_none() {
            return;
        }
        bound = (bound * 2).min(longest);
    }
}

/// Says when a consumer ended for another reason than the drain.
pub(super) fn end_of(name: &'static str, result: Result<(), tramline_event_hub::Error>) {
    if let Err(error) = result {
        tracing::warn!(error = chain(&error), queue = name, "the consumer ended");
    }
}

/// Between half of `bound` and `bound`, so that replicas do not try in step.
fn drawn(bound: Duration) -> Duration {
    bound.mul_f64(rand::random_range(0.5..=1.0))
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(": ");
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}
