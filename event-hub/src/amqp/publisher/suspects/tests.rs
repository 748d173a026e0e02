//! Tests of [`Line`].

use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::*;
use crate::envelope::Event;

fn request(event: &Event) -> Request {
    let message = Message::of(event, &"events".into());
    Request { message, deadline: Instant::now() + Duration::from_secs(1), answer: oneshot::channel().0 }
}

fn event(n: u32) -> Event {
    Event::new("a.b", "tests", &json!({ "n": n })).unwrap()
}

#[test]
fn a_suspect_waits_until_nothing_is_out_and_nothing_joins_it() {
    let (first, suspect, third) = (event(1), event(2), event(3));
    let mut line = Line::default();
    let ids = |events: &[&Event]| events.iter().map(|e| Text::from(e.id.as_str())).collect::<Vec<_>>();
    line.suspect(ids(&[&suspect, &event(4)]).into_iter());
    for event in [&first, &suspect, &third] {
        line.push(request(event));
    }
    let next = |line: &mut Line, out| line.next(out).map(|next| id(&next.message).to_string());
    assert_eq!(next(&mut line, 0).as_deref(), Some(first.id.as_str()), "others are not held up");
    assert_eq!(next(&mut line, 1), None, "the first is still out");
    assert_eq!(next(&mut line, 0).as_deref(), Some(suspect.id.as_str()));
    assert_eq!(next(&mut line, 1), None, "it is alone");
    assert_eq!(next(&mut line, 0).as_deref(), Some(third.id.as_str()));
    line.push(request(&suspect));
    assert_eq!(next(&mut line, 1).as_deref(), Some(suspect.id.as_str()), "it has had its turn");
}

#[test]
fn one_that_was_refused_alone_goes_alone_the_next_time_too() {
    let only = event(1);
    let mut line = Line::default();
    line.suspect([Text::from(only.id.as_str())].into_iter());
    line.push(request(&only));
    assert!(line.next(5).is_none());
    assert!(line.next(0).is_some());
}
