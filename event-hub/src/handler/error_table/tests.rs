//! Tests of [`ErrorTable`].

use std::io;

use super::*;
use crate::error::{Error, ErrorKind};
use crate::handler::{BoxError, Panicked, TimedOut};

#[derive(Debug)]
struct Outer(BoxError);

impl fmt::Display for Outer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outer")
    }
}

impl StdError for Outer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

fn broken() -> BoxError {
    "broken".into()
}

fn undecodable() -> Undecodable {
    Undecodable::new(Error::new(ErrorKind::InvalidEvent, "no JSON"))
}

#[test]
fn the_first_rule_that_fits_decides() {
    let table = ErrorTable::new()
        .on::<TimedOut>(Action::Return)
        .when("any timeout", |error| error.to_string().contains("no answer"), Action::Ack)
        .on::<Outer>(Action::Reject);
    assert_eq!(table.action(&TimedOut::after(Duration::from_secs(1))), Action::Return);
    assert_eq!(table.action(&io::Error::other("no answer")), Action::Ack);
    assert_eq!(table.action(&Outer(broken())), Action::Reject);
    assert_eq!(table.action(&*broken()), Action::Retry);
}

#[test]
fn an_error_is_found_anywhere_in_the_chain() {
    let table = ErrorTable::new().on::<TimedOut>(Action::RetryAfter(Duration::from_secs(9)));
    let deep = Outer(Outer(Box::new(TimedOut::after(Duration::ZERO))).into());
    assert_eq!(table.action(&deep), Action::RetryAfter(Duration::from_secs(9)));
    // Its `source` steps over what it was made of.
    let wrapped = Outer(io::Error::other(TimedOut::after(Duration::ZERO)).into());
    assert_eq!(table.action(&wrapped), Action::RetryAfter(Duration::from_secs(9)));
    assert_eq!(table.action(&Outer(broken())), Action::Retry);
}

#[test]
fn the_undecodable_is_rejected_unless_told_otherwise() {
    let deep = Outer(undecodable().into());
    assert_eq!(ErrorTable::new().otherwise(Action::Ack).action(&deep), Action::Reject);
    assert_eq!(ErrorTable::new().undecodable(Action::Ack).action(&deep), Action::Ack);
    assert_eq!(ErrorTable::new().on::<Undecodable>(Action::Return).action(&deep), Action::Return);
}

#[test]
fn it_can_be_read() {
    let panic: Box<dyn std::any::Any + Send> = Box::new("a panic");
    let table = ErrorTable::new().on::<Panicked>(Action::Reject).when("seen before", |_| false, Action::Ack);
    assert_eq!(table.action(&Panicked::new(panic.as_ref())), Action::Reject);
    let lines = format!("{table}");
    assert!(
        lines.starts_with("1. ") && lines.contains("Panicked → reject\n2. seen before → ack\n"),
        "{lines}"
    );
    assert!(lines.ends_with("3. undecodable → reject\n4. anything else → retry\n"), "{lines}");
    assert!(format!("{table:?}").contains("\"seen before\": Ack"));
}
