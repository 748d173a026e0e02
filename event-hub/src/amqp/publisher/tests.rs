//! Tests of the books, with lapin's confirms as they can come.

use super::*;

type Answer = oneshot::Receiver<Result<(), PublishErrorKind>>;

fn issue(books: &mut Books) -> Answer {
    let (answer, answered) = oneshot::channel();
    books.issue("k".to_owned(), Instant::now() + Duration::from_secs(1), answer);
    answered
}

fn ack() -> Confirmation {
    Confirmation::Ack(None)
}

#[tokio::test]
async fn a_confirm_waits_for_all_that_was_issued_before_it_came() {
    let mut books = Books::default();
    let (mut first, mut second) = (issue(&mut books), issue(&mut books));
    books.resolve(0, ack());
    assert!(first.try_recv().is_err(), "its return may be hidden in the second's confirm");
    let mut third = issue(&mut books);
    books.resolve(1, ack());
    assert_eq!(first.try_recv(), Ok(Ok(())));
    assert!(second.try_recv().is_err(), "the third was out when it came");
    books.resolve(2, Confirmation::Nack(None));
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert_eq!(third.try_recv(), Ok(Err(PublishErrorKind::Nacked)));
    assert!(books.out.is_empty() && books.deadlines.is_empty() && books.resolved.is_empty());
}

#[tokio::test]
async fn what_is_lost_is_unknown_even_when_its_confirm_had_come() {
    let mut books = Books::default();
    let (mut first, mut second) = (issue(&mut books), issue(&mut books));
    books.resolve(1, ack());
    books.lose();
    assert_eq!(first.try_recv(), Ok(Err(PublishErrorKind::Unknown)));
    assert_eq!(second.try_recv(), Ok(Err(PublishErrorKind::Unknown)));
}
