//! Section 5.4: messages in several frames.

use super::bytes::{BINARY, CLOSE, Frame, PING, PONG, TEXT, close, frame};
use super::{Row, play};

const FIRST_TEXT: u8 = 0x01;
const FIRST_BINARY: u8 = 0x02;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

#[tokio::test]
async fn a_message_in_pieces() {
    play(vec![
        ("two", [frame(FIRST_TEXT, "one "), frame(LAST, "two")].concat(), vec![Frame::text("one two")]),
        (
            "three",
            [frame(FIRST_BINARY, [1]), frame(MORE, [2]), frame(LAST, [3])].concat(),
            vec![Frame::binary([1, 2, 3])],
        ),
        (
            "all empty",
            [frame(FIRST_TEXT, ""), frame(MORE, ""), frame(LAST, "")].concat(),
            vec![Frame::text("")],
        ),
        (
            "only the middle is not empty",
            [frame(FIRST_TEXT, ""), frame(MORE, "x"), frame(LAST, "")].concat(),
            vec![Frame::text("x")],
        ),
        (
            "two messages",
            [frame(FIRST_TEXT, "a"), frame(LAST, "b"), frame(FIRST_BINARY, "c"), frame(LAST, "d")].concat(),
            vec![Frame::text("ab"), Frame::binary("cd")],
        ),
        (
            "pings and a pong within",
            [
                frame(FIRST_TEXT, "one "),
                frame(PING, "first"),
                frame(MORE, "two "),
                frame(PONG, "nobody asked"),
                frame(PING, "second"),
                frame(LAST, "three"),
            ]
            .concat(),
            vec![Frame::pong("first"), Frame::pong("second"), Frame::text("one two three")],
        ),
        (
            "a close within",
            [frame(FIRST_TEXT, "one "), close(1000, "enough"), frame(LAST, "two")].concat(),
            vec![Frame::close(1000, "enough")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn how_long_it_may_be() {
    let pieces = |bytes: usize, each: usize| {
        let whole = vec![b'*'; bytes];
        let mut pieces: Vec<Vec<u8>> = whole.chunks(each).map(|piece| frame(MORE, piece)).collect();
        pieces[0][0] = FIRST_TEXT;
        pieces.push(frame(LAST, ""));
        pieces.concat()
    };
    let whole = "*".repeat(65_536);
    let too_big = Frame::close(1009, "frame too big");
    let mut rows: Vec<Row> = Vec::new();
    for each in [64, 1_300, 65_536] {
        rows.push(("the longest", pieces(65_536, each), vec![Frame::text(&whole)]));
        rows.push(("one byte more", pieces(65_537, each), vec![too_big.clone()]));
    }
    play(rows).await;
}

#[tokio::test]
async fn pieces_out_of_place() {
    let wrong = || vec![Frame::wrong()];
    let mut rows: Vec<Row> = vec![
        ("more of nothing", frame(MORE, "x"), wrong()),
        ("the last of nothing", frame(LAST, "x"), wrong()),
        ("the last of nothing, empty", frame(LAST, ""), wrong()),
        (
            "more of what has ended",
            [frame(FIRST_TEXT, "a"), frame(LAST, "b"), frame(LAST, "c")].concat(),
            vec![Frame::text("ab"), Frame::wrong()],
        ),
        (
            "more behind a whole one",
            [frame(TEXT, "a"), frame(LAST, "b")].concat(),
            vec![Frame::text("a"), Frame::wrong()],
        ),
    ];
    for second in [TEXT, BINARY, FIRST_TEXT, FIRST_BINARY] {
        let sent = [frame(FIRST_TEXT, "a"), frame(second, "b"), frame(LAST, "c")].concat();
        rows.push(("another within", sent, wrong()));
    }
    for control in [PING, PONG, CLOSE] {
        let first = control & 0x0F;
        rows.push(("a control frame in pieces", frame(first, ""), wrong()));
        rows.push((
            "a control frame in pieces, the rest behind",
            [frame(first, "a"), frame(LAST, "b")].concat(),
            wrong(),
        ));
        let within = [frame(FIRST_TEXT, "a"), frame(first, "b"), frame(LAST, "c")].concat();
        rows.push(("a control frame in pieces, within a message", within, wrong()));
    }
    play(rows).await;
}
