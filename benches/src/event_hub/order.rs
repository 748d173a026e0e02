//! What the events say.

use measure::KEY;
use serde::{Deserialize, Serialize};
use tramline_event_hub::Event;

/// Someone ordered something. With its envelope it makes a body of about [`measure::BODY`] bytes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(super) struct Order {
    pub(super) number: u64,
    /// When it was published, in ns since the program's start.
    pub(super) sent: u64,
}

// === impl Order ===

impl Order {
    pub(super) fn event(number: u64, sent: u64) -> anyhow::Result<Event> {
        Ok(Event::new(KEY, "bench", &Self { number, sent })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_agreed_size() {
        let body = Order::event(12_345, 1_234_567_890).unwrap().to_json();
        let size = body.len();
        assert!(size.abs_diff(measure::BODY) <= 16, "{size}: {}", String::from_utf8_lossy(&body));
    }
}
