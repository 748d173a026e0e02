//! The reader without a Redis: what it does with answers, and with what was lost.

use std::io;

use ::redis::{RedisError, Value};

use crate::backplane::redis::{RedisBackplane, RedisConfig};
use crate::backplane::{Driver as _, RecoveryBounds};
use crate::protocol::Member;

use super::*;

/// The backplane is held, so that the reader's queue is open.
fn reader() -> (RedisBackplane, Reader) {
    let backplane = RedisBackplane::new(RedisConfig::new("redis://127.0.0.1:1")).unwrap();
    let tasks = backplane.tasks.lock().unwrap().take();
    (backplane, tasks.expect("nobody has taken them").1)
}

fn room(name: &str) -> RoomId {
    RoomId::parse(name).unwrap()
}

/// A room that is subscribed, with one who is shown.
fn shown(backplane: &RedisBackplane, reader: &mut Reader, name: &str) -> RoomId {
    let name = room(name);
    let mut subscribed = Room::new(Instant::now());
    let _ = subscribed.subscribed();
    reader.rooms.insert(name.clone(), subscribed);
    backplane.enter(&name, &"ada".into());
    reader.list_fresh();
    name
}

fn lists(reader: &mut Reader) -> Vec<String> {
    std::iter::from_fn(|| reader.people.next()).map(|room| room.to_string()).collect()
}

fn late() -> RedisError {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

fn gone() -> RedisError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

/// Who came and went is said on the channel of which something was dropped.
#[test]
fn what_the_feed_drops_is_listed_too() {
    let (backplane, mut reader) = reader();
    let a = shown(&backplane, &mut reader, "a");
    let silent = room("silent");
    reader.rooms.insert(silent.clone(), Room::new(Instant::now()));
    assert_eq!(lists(&mut reader), ["a"]);
    assert!(reader.done(Done::Listed(a.clone(), Ok(Vec::new()))));
    let channel = |room: &RoomId| scripts::channel(&reader.shared.connector.config.prefix, room.as_str());
    let channels = HashSet::from([channel(&a), channel(&silent)]);
    for dropped in [Dropped::Any, Dropped::These(channels)] {
        assert!(lists(&mut reader).is_empty());
        reader.reread(&dropped);
        assert_eq!(lists(&mut reader), ["a"]);
        assert!(reader.done(Done::Listed(a.clone(), Ok(Vec::new()))));
    }
}

#[test]
fn a_late_or_refused_list_is_asked_for_again_and_ends_nothing() {
    let (backplane, mut reader) = reader();
    let a = shown(&backplane, &mut reader, "a");
    let refused = RedisError::from((::redis::ErrorKind::UnexpectedReturnType, "none of ours"));
    for error in [late(), refused] {
        let (reply, mut answer) = oneshot::channel();
        reader.obey(Command::Present(a.clone(), reply));
        assert_eq!(lists(&mut reader), ["a"]);
        assert!(reader.done(Done::Listed(a.clone(), Err(error))), "the session goes on");
        assert!(answer.try_recv().unwrap().is_err());
        assert!(lists(&mut reader).is_empty(), "not at once");
        reader.second();
    }
    assert_eq!(lists(&mut reader), ["a"]);
    let (reply, mut answer) = oneshot::channel();
    reader.obey(Command::Present(a.clone(), reply));
    assert!(!reader.done(Done::Listed(a.clone(), Err(gone()))), "there is no connection");
    reader.deafen();
    assert_eq!(lists(&mut reader), ["a"], "asked for on the next one");
    let ada = Member { user_id: "ada".to_owned(), connections: 1 };
    assert!(reader.done(Done::Listed(a, Ok(vec![ada.clone()]))));
    assert_eq!(*answer.try_recv().unwrap().unwrap(), [ada]);
}

#[test]
fn a_recovery_outlives_its_connection() {
    let (_backplane, mut reader) = reader();
    let ask = |reader: &mut Reader| {
        let (reply, answer) = oneshot::channel();
        let bounds = RecoveryBounds::new(1, 1);
        reader.obey(Command::Recover(Recover { room: room("a"), since: None, bounds, reply }));
        (answer, reader.recoveries.next().unwrap().0)
    };
    let ((mut first, ticket), (mut second, other)) = (ask(&mut reader), ask(&mut reader));
    assert!(!reader.done(Done::Recovered(ticket, Err(gone()))));
    reader.deafen();
    let again = reader.recoveries.next().unwrap().0;
    assert!(reader.done(Done::Recovered(again, Err(late()))), "late is not gone");
    assert!(first.try_recv().unwrap().is_err());
    assert!(second.try_recv().is_err(), "it still waits");
    assert!(reader.recoveries.next().unwrap().0 != other);
}

/// A late reading is repeated at once, and a refused one a little later; those who wait for the refused one hear so.
#[test]
fn a_reading_that_brings_nothing_is_repeated() {
    let (backplane, mut reader) = reader();
    let a = shown(&backplane, &mut reader, "a");
    let begin = |reader: &mut Reader| reader.rooms.get_mut(&a).unwrap().begin().is_some();
    assert!(begin(&mut reader));
    let (reply, mut joined) = oneshot::channel();
    reader.obey(Command::Join(a.clone(), reply));
    assert!(reader.done(Done::Read(a.clone(), Err(late()))));
    assert_eq!(reader.due.pop_front(), Some(a.clone()));
    assert!(begin(&mut reader) && joined.try_recv().is_err());
    let refused = RedisError::from((::redis::ErrorKind::UnexpectedReturnType, "none of ours"));
    assert!(reader.done(Done::Read(a.clone(), Err(refused))));
    assert!(joined.try_recv().unwrap().is_err());
    assert_eq!(reader.due.pop_front(), None);
    reader.second();
    assert_eq!(reader.due.pop_front(), Some(a.clone()));
    assert!(begin(&mut reader));
    assert!(!reader.done(Done::Read(a.clone(), Err(gone()))));
}

/// Redis lets us hear one room and not the other. Nobody waits for that one, and it is tried again.
#[test]
fn a_channel_that_is_refused_is_its_rooms_own() {
    let (backplane, mut reader) = reader();
    let (a, b) = (room("a"), room("b"));
    let join = |reader: &mut Reader, name: &RoomId| {
        let (reply, answer) = oneshot::channel();
        reader.obey(Command::Join(name.clone(), reply));
        answer
    };
    let (mut first, mut other) = (join(&mut reader, &a), join(&mut reader, &b));
    let refused = || {
        let line = b"-NOPERM No permissions to access a channel\r\n";
        ::redis::parse_redis_value(line).unwrap().extract_error().unwrap_err()
    };
    let answers = vec![Err(refused()), Ok(Value::Nil)];
    assert!(reader.done(Done::Subscribed(2, vec![a.clone(), b.clone()], Ok(answers))), "the session goes on");
    assert!(first.try_recv().unwrap().is_err());
    assert!(other.try_recv().is_err(), "it waits for its reading");
    assert_eq!((reader.due.pop_front(), reader.due.pop_front()), (Some(b), None));
    assert!(join(&mut reader, &a).try_recv().unwrap().is_err(), "at once");
    let (reply, mut recovered) = oneshot::channel();
    let bounds = RecoveryBounds::new(1, 1);
    reader.obey(Command::Recover(Recover { room: a.clone(), since: None, bounds, reply }));
    assert!(recovered.try_recv().unwrap().is_err(), "at once");
    // It may be heard now.
    assert!(reader.done(Done::Subscribed(2, vec![a.clone()], Ok(vec![Ok(Value::Nil)]))));
    assert_eq!(reader.due.pop_front(), Some(a.clone()));
    assert!(join(&mut reader, &a).try_recv().is_err(), "it waits for its reading");
    assert!(!reader.done(Done::Subscribed(2, vec![a], Err(gone()))), "there is no connection");
    drop(backplane);
}

/// A subscription is answered so late that its room has been given up meanwhile, and is there anew: only its own makes it
/// heard.
#[test]
fn an_answer_to_a_room_that_is_gone_is_no_later_ones() {
    let (_backplane, mut reader) = reader();
    let a = room("a");
    let join = |reader: &mut Reader| {
        let (reply, answer) = oneshot::channel();
        reader.obey(Command::Join(a.clone(), reply));
        answer
    };
    let refused = || RedisError::from((::redis::ErrorKind::UnexpectedReturnType, "none of ours"));
    let _first = join(&mut reader);
    reader.rooms.remove(&a);
    let mut second = join(&mut reader);
    for late in [Ok(Value::Nil), Err(refused())] {
        assert!(reader.done(Done::Subscribed(1, vec![a.clone()], Ok(vec![late]))));
        assert!(second.try_recv().is_err(), "it waits");
        assert_eq!((reader.due.pop_front(), reader.muted.len()), (None, 0));
    }
    assert!(reader.done(Done::Subscribed(2, vec![a.clone()], Ok(vec![Ok(Value::Nil)]))));
    assert_eq!(reader.due.pop_front(), Some(a));
}

#[test]
fn nothing_stays_of_a_room_that_nobody_is_in() {
    let (backplane, mut reader) = reader();
    let a = shown(&backplane, &mut reader, "a");
    assert_eq!(lists(&mut reader), ["a"]);
    backplane.exit(&a, &"ada".into(), Duration::ZERO);
    let linger = reader.shared.connector.config.linger;
    reader.rooms.get_mut(&a).unwrap().left = Some(Instant::now() - linger);
    reader.second();
    // Its list comes late, and so does the news that it shows people.
    assert!(reader.done(Done::Listed(a.clone(), Ok(Vec::new()))));
    backplane.enter(&a, &"ada".into());
    reader.list_fresh();
    assert!(lists(&mut reader).is_empty() && reader.people.is_empty());
}
