//! Tests of the books, with lapin's confirms as they can come.

use std::collections::VecDeque;

use lapin::BasicProperties;
use lapin::message::{BasicReturnMessage, Delivery};
use lapin::types::{AMQPValue, FieldTable};
use proptest::prelude::*;

use super::*;

type Answered = oneshot::Receiver<Result<(), PublishErrorKind>>;

fn issue(books: &mut Books) -> Answered {
    let (answer, answered) = oneshot::channel();
    books.issue("".into(), Instant::now() + Duration::from_secs(1), answer);
    answered
}

/// A confirm, with the return of a publish.
fn carrying(number: Option<u64>) -> Option<BasicReturnMessage> {
    let mut headers = FieldTable::default();
    headers.insert("x-tramline-sequence".into(), AMQPValue::LongLongInt(number?.cast_signed()));
    let mut delivery = Delivery::mock(0, "events".into(), "k".into(), false, Vec::new());
    delivery.properties = BasicProperties::default().with_headers(headers);
    Some(BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() })
}

fn ack(carried: Option<u64>) -> Confirmation {
    Confirmation::Ack(carrying(carried))
}

#[tokio::test]
async fn a_confirm_that_carries_nothing_is_answered_at_once() {
    let mut books = Books::default();
    let (mut first, mut second, mut third) = (issue(&mut books), issue(&mut books), issue(&mut books));
    books.resolve(1, ack(None));
    books.resolve(2, Confirmation::Nack(None));
    books.release();
    assert!(first.try_recv().is_err());
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert_eq!(third.try_recv(), Ok(Err(PublishErrorKind::Nacked)));
    assert_eq!((books.open(), books.unanswered()), (1, 1));
}

#[tokio::test]
async fn a_confirm_that_carries_the_return_of_another_waits_for_all_that_was_out() {
    let mut books = Books::default();
    let (mut first, mut second, mut third) = (issue(&mut books), issue(&mut books), issue(&mut books));
    // Its own return may stand behind that of the third, and come with a later confirm.
    books.resolve(0, ack(Some(2)));
    books.release();
    assert!(first.try_recv().is_err());
    books.resolve(2, ack(Some(0)));
    books.release();
    assert!(first.try_recv().is_err(), "the second is still out");
    books.resolve(1, ack(None));
    books.release();
    assert!(matches!(first.try_recv(), Ok(Err(PublishErrorKind::Returned { code: 312, .. }))));
    assert_eq!(second.try_recv(), Ok(Ok(())));
    assert!(matches!(third.try_recv(), Ok(Err(PublishErrorKind::Returned { .. }))));
    assert_eq!((books.open(), books.unanswered()), (0, 0));
}

#[tokio::test]
async fn what_is_lost_is_unknown() {
    let mut books = Books::default();
    let (mut first, mut second) = (issue(&mut books), issue(&mut books));
    books.resolve(0, ack(Some(1)));
    books.release();
    books.lose(None);
    assert_eq!(first.try_recv(), Ok(Err(PublishErrorKind::Unknown)));
    assert_eq!(second.try_recv(), Ok(Err(PublishErrorKind::Unknown)));
    assert_eq!((books.open(), books.unanswered()), (0, 0));
}

proptest! {
    /// lapin as it is: returns stand in one line, each before its own acknowledgement; acknowledgements come in
    /// any order, and each takes the first of the line. We see them in batches of any size.
    #[test]
    fn every_answer_is_the_truth(
        publishes in prop::collection::vec((any::<bool>(), any::<u32>(), any::<u32>()), 1..60),
        batches in prop::collection::vec(1..8_usize, 60),
    ) {
        let mut books = Books::default();
        let mut answers: Vec<Answered> = Vec::new();
        // What the broker sends: each publish's acknowledgement, and before it, somewhere, its return.
        let mut wire: Vec<(u32, u64, bool)> = Vec::new();
        for (number, &(routable, at, before)) in publishes.iter().enumerate() {
            answers.push(issue(&mut books));
            wire.push((at, number as u64, false));
            if !routable {
                wire.push((at.min(before), number as u64, true));
            }
        }
        wire.sort_by_key(|&(at, number, is_return)| (at, number, !is_return));
        let (mut line, mut batches, mut in_batch) = (VecDeque::new(), batches.into_iter().cycle(), 0);
        for (_, number, is_return) in wire {
            if is_return {
                line.push_back(number);
                continue;
            }
            books.resolve(number, ack(line.pop_front()));
            if in_batch == 0 {
                books.release();
                in_batch = batches.next().unwrap();
            }
            in_batch -= 1;
        }
        books.release();
        for (answered, (routable, _, _)) in answers.iter_mut().zip(publishes) {
            let answer = answered.try_recv();
            prop_assert!(answer.is_ok(), "answered");
            prop_assert_eq!(answer.unwrap().is_ok(), routable);
        }
        prop_assert_eq!((books.open(), books.unanswered()), (0, 0));
    }
}
