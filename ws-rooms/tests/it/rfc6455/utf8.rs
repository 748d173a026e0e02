//! Section 8.1: texts are UTF-8.

use super::bytes::{BINARY, Frame, TEXT, frame};
use super::{Row, play};

const FIRST: u8 = 0x01;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

fn bad() -> Vec<Frame> {
    vec![Frame::close(1007, "not UTF-8")]
}

const GOOD: [&str; 8] = [
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "\u{0}",
    "\u{7F}\u{80}\u{7FF}\u{800}\u{FFFF}\u{10000}\u{10FFFF}",
    "\u{D7FF}\u{E000}\u{FFFD}",
    // A byte order mark, and what is no character, but a code point.
    "\u{FEFF}",
    "\u{FFFE}\u{1FFFE}\u{10FFFE}",
    "🚋🚋🚋",
];

const BAD: [(&str, &[u8]); 16] = [
    ("a byte that continues nothing", &[0x80]),
    ("another", b"abc\xBFdef"),
    ("a start without the rest", &[0xC3, 0x28]),
    ("half of three", &[0xE2, 0x82, b'x']),
    ("half of four", &[0xF0, 0x9F, 0x9A, b'x']),
    ("the end within two", b"abc\xC3"),
    ("the end within three", b"abc\xE2\x82"),
    ("the end within four", b"abc\xF0\x9F\x9A"),
    ("two bytes for one", &[0xC0, 0xAF]),
    ("three bytes for one", &[0xE0, 0x80, 0xAF]),
    ("four bytes for one", &[0xF0, 0x80, 0x80, 0xAF]),
    ("the first surrogate", &[0xED, 0xA0, 0x80]),
    ("a pair of surrogates", &[0xED, 0xA0, 0x80, 0xED, 0xB0, 0x80]),
    ("beyond the last", &[0xF4, 0x90, 0x80, 0x80]),
    ("five bytes", &[0xF8, 0x88, 0x80, 0x80, 0x80]),
    ("no start of anything", &[0xFF, 0xFE]),
];

#[tokio::test]
async fn what_is_utf8_comes_back() {
    let mut rows: Vec<Row> = Vec::new();
    for text in GOOD {
        rows.push(("whole", frame(TEXT, text), vec![Frame::text(text)]));
        let pieces = text.len();
        // Cut within code points as well.
        for cut in 0..=pieces {
            let (head, tail) = text.as_bytes().split_at(cut);
            let sent = [frame(FIRST, head), frame(LAST, tail)].concat();
            rows.push(("in two", sent, vec![Frame::text(text)]));
        }
        let mut sent = frame(FIRST, "");
        text.bytes().for_each(|byte| sent.extend(frame(MORE, [byte])));
        sent.extend(frame(LAST, ""));
        rows.push(("a frame for each byte", sent, vec![Frame::text(text)]));
    }
    play(rows).await;
}

#[tokio::test]
async fn what_is_not_is_refused() {
    let mut rows: Vec<Row> = Vec::new();
    for (name, bytes) in BAD {
        rows.push((name, frame(TEXT, bytes), bad()));
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            rows.push((name, [frame(FIRST, head), frame(LAST, tail)].concat(), bad()));
        }
        let behind = [frame(FIRST, "good"), frame(MORE, bytes), frame(LAST, "")].concat();
        rows.push((name, behind, bad()));
        let after = [frame(TEXT, "good"), frame(TEXT, bytes), frame(TEXT, "good")].concat();
        rows.push((name, after, vec![Frame::text("good"), bad().remove(0)]));
        rows.push((name, frame(BINARY, bytes), vec![Frame::binary(bytes)]));
    }
    // At once, not only at the message's end.
    rows.push(("the rest never comes", frame(FIRST, [0xFF]), bad()));
    play(rows).await;
}
