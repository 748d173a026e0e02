//! What is published: an object of CloudEvents of 100 bytes, with its number in its room at a place of its own.

use anyhow::Context;

/// The size of an event.
const SIZE: usize = 100;

/// What a large event has besides.
pub(super) const BULK: usize = 16 * 1024;

/// Digits of a number.
const DIGITS: usize = 10;

/// What follows the number.
const TAIL: &str = r#""}"#;

/// The event of this number.
pub(super) fn text(number: u64) -> String {
    let text = format!(
        r#"{{"specversion":"1.0","id":"{number:010}","type":"bench.ticked","source":"bench","number":"{number:010}{TAIL}"#
    );
    debug_assert_eq!(text.len(), SIZE);
    text
}

/// A large event of this number.
pub(super) fn bulk(number: u64) -> String {
    text(number).replace(r#""number""#, &format!(r#""data":"{}","number""#, "x".repeat(BULK)))
}

/// The line that publishes this event to a room.
pub(super) fn line(room: &str, number: u64, event: &str) -> String {
    format!("{room} {number:010} {event}\n")
}

/// The number of the event in a frame's text, behind which come so many bytes of an envelope. None in a frame that is too
/// short for an event: a sign of life.
///
/// # Errors
///
/// If there is no number where it should be.
pub(super) fn number(frame: &[u8], envelope: usize) -> anyhow::Result<Option<u64>> {
    if frame.len() < SIZE {
        return Ok(None);
    }
    let end = frame.len() - envelope - TAIL.len();
    let digits = &frame[end - DIGITS..end];
    let mut number = 0;
    for digit in digits {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10);
        let value = value.with_context(|| format!("no event: {}", String::from_utf8_lossy(frame)))?;
        number = number * 10 + u64::from(value);
    }
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_any_envelope() {
        let event = text(1234);
        assert_eq!(event.len(), SIZE);
        assert!(serde_json::from_str::<serde_json::Value>(&event).unwrap().is_object());
        assert_eq!(number(event.as_bytes(), 0).unwrap(), Some(1234));
        let bulk = bulk(1234);
        assert!(bulk.len() > BULK && serde_json::from_str::<serde_json::Value>(&bulk).unwrap().is_object());
        assert_eq!(number(bulk.as_bytes(), 0).unwrap(), Some(1234));
        let ours = format!(r#"{{"type":"event","room":"r","offset":7,"event":{event}}}"#);
        assert_eq!(number(ours.as_bytes(), 1).unwrap(), Some(1234));
        assert_eq!(number(br#"{"type":"ping"}"#, 1).unwrap(), None);
        assert!(number(ours.as_bytes(), 0).is_err(), "the wrong envelope");
    }
}
