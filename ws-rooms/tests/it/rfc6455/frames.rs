//! Section 5.2: lengths, masks, reserved bits and opcodes; and pings.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bytes::{
    BINARY, CLOSE, Frame, Length, PING, PONG, TEXT, close, frame, frame_with, frames, header,
};
use super::{PATIENCE, Row, open, play, serve};

fn too_big() -> Frame {
    Frame::close(1009, "frame too big")
}

#[tokio::test]
async fn lengths() {
    let mut rows: Vec<Row> = Vec::new();
    for length in [0, 1, 124, 125, 126, 127, 128, 255, 256, 65_534, 65_535, 65_536] {
        let text = "*".repeat(length);
        rows.push(("a text", frame(TEXT, &text), vec![Frame::text(&text)]));
        let bytes = vec![0xFE; length];
        rows.push(("bytes", frame(BINARY, &bytes), vec![Frame::binary(&bytes)]));
        // Longer than it has to be: it says what it says.
        if length < 65_536 {
            let sent = frame_with(TEXT, Length::Two, &text);
            rows.push(("a text, its length in two bytes", sent, vec![Frame::text(&text)]));
        }
        let sent = frame_with(BINARY, Length::Eight, &bytes);
        rows.push(("bytes, their length in eight bytes", sent, vec![Frame::binary(&bytes)]));
    }
    for length in [65_537, 100_000] {
        rows.push(("too long a text", frame(TEXT, "*".repeat(length)), vec![too_big()]));
        rows.push(("too many bytes", frame(BINARY, vec![0xFE; length]), vec![too_big()]));
    }
    // Nobody waits for what is announced.
    for length in [65_537, 1 << 32, (1 << 63) - 1, 1 << 63, u64::MAX] {
        rows.push(("only announced", header(TEXT, Length::Eight, length), vec![too_big()]));
    }
    play(rows).await;
}

#[tokio::test]
async fn many_small_ones_in_one_segment() {
    let numbers = 0..500;
    let sent = numbers.clone().flat_map(|number: u32| frame(TEXT, number.to_string())).collect();
    let wanted = numbers.map(|number| Frame::text(number.to_string())).collect();
    play(vec![("five hundred", sent, wanted)]).await;
}

#[tokio::test]
async fn masks() {
    let unmasked: [(&str, &[u8]); 4] = [
        ("a text", &[TEXT, 2, b'h', b'i']),
        ("an empty text", &[TEXT, 0]),
        ("a ping", &[PING, 0]),
        ("a close", &[CLOSE, 2, 3, 0xE8]),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (name, bytes) in unmasked {
        rows.push((name, bytes.to_vec(), vec![Frame::wrong()]));
        let behind = [frame(TEXT, "before"), bytes.to_vec(), frame(TEXT, "after")].concat();
        rows.push((name, behind, vec![Frame::text("before"), Frame::wrong()]));
    }
    // Who says a lot more meanwhile still hears why, and no reset.
    let much = [&[TEXT, 0][..], &vec![0; 500_000]].concat();
    rows.push(("much behind it", much, vec![Frame::wrong()]));
    // A mask of zeros is one.
    rows.push(("zeros", vec![TEXT, 0x82, 0, 0, 0, 0, b'h', b'i'], vec![Frame::text("hi")]));
    play(rows).await;
}

#[tokio::test]
async fn reserved_bits() {
    let mut rows: Vec<Row> = Vec::new();
    for bit in [0x40, 0x20, 0x10, 0x70] {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            rows.push(("alone", frame(opcode | bit, "ab"), vec![Frame::wrong()]));
        }
        let among = [frame(TEXT, "one"), frame(TEXT | bit, "two"), frame(PING, "")].concat();
        rows.push(("among others", among, vec![Frame::text("one"), Frame::wrong()]));
    }
    play(rows).await;
}

#[tokio::test]
async fn reserved_opcodes() {
    let mut rows: Vec<Row> = Vec::new();
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF] {
        for payload in ["", "and a payload"] {
            rows.push(("alone", frame(0x80 | opcode, payload), vec![Frame::wrong()]));
            let among = [frame(TEXT, "one"), frame(0x80 | opcode, payload), frame(PING, "")].concat();
            rows.push(("among others", among, vec![Frame::text("one"), Frame::wrong()]));
        }
    }
    play(rows).await;
}

#[tokio::test]
async fn pings_and_pongs() {
    let ten: Vec<u8> = (0..10).flat_map(|number: u32| frame(PING, number.to_string())).collect();
    let ten_pongs = (0..10).map(|number: u32| Frame::pong(number.to_string())).collect();
    let full = [0xFE; 125];
    play(vec![
        ("an empty ping", frame(PING, ""), vec![Frame::pong("")]),
        ("what a ping says", frame(PING, "Hello"), vec![Frame::pong("Hello")]),
        (
            "what a ping says, bytes",
            frame(PING, [0, 0xFF, 0xC3, 0x28]),
            vec![Frame::pong([0, 0xFF, 0xC3, 0x28])],
        ),
        ("as much as it may", frame(PING, full), vec![Frame::pong(full)]),
        ("more than it may", frame(PING, [0xFE; 126]), vec![Frame::wrong()]),
        ("a long length for few bytes", frame_with(PING, Length::Two, "x"), vec![Frame::pong("x")]),
        ("a pong that nobody asked for", frame(PONG, "x"), vec![]),
        ("too long a pong", frame(PONG, [0xFE; 126]), vec![Frame::wrong()]),
        ("a pong, then a ping", [frame(PONG, "a"), frame(PING, "b")].concat(), vec![Frame::pong("b")]),
        ("ten pings", ten, ten_pongs),
        (
            "a ping between messages",
            [frame(TEXT, "one"), frame(PING, "p"), frame(TEXT, "two")].concat(),
            vec![Frame::text("one"), Frame::pong("p"), Frame::text("two")],
        ),
    ])
    .await;
}

/// A client that waits for each answer before it says more: nothing is kept back until something else comes.
#[tokio::test]
async fn each_is_answered_before_more_is_sent() {
    const FIRST: u8 = 0x01;
    const LAST: u8 = 0x80;
    let mut stream = open(serve().await).await;
    let full = [0xFE; 125];
    for (sent, wanted) in [
        (frame(PING, ""), Frame::pong("")),
        (frame(PING, full), Frame::pong(full)),
        (frame(TEXT, "one"), Frame::text("one")),
        (frame(BINARY, "two"), Frame::binary("two")),
        ([frame(FIRST, "th"), frame(PING, "within")].concat(), Frame::pong("within")),
        ([frame(PONG, "nobody asked"), frame(PING, "again")].concat(), Frame::pong("again")),
        (frame(LAST, "ree"), Frame::text("three")),
        ([frame(TEXT, ""), frame(PING, "x")[..3].to_vec()].concat(), Frame::text("")),
        (frame(PING, "x")[3..].to_vec(), Frame::pong("x")),
        (close(1000, ""), Frame::close(1000, "")),
    ] {
        stream.write_all(&sent).await.unwrap();
        let mut answer = vec![0; 2 + wanted.1.len()];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
        read.unwrap_or_else(|_| panic!("no {wanted:?}")).unwrap();
        assert_eq!(frames(&answer), [wanted]);
    }
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
}

/// Half a frame is no news, and its sender may leave.
#[tokio::test]
async fn half_a_frame_and_the_end() {
    let addr = serve().await;
    let sent = frame(TEXT, "0123456789");
    for cut in 1..sent.len() {
        let mut stream = open(addr).await;
        stream.write_all(&sent[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        assert!(all.is_empty(), "{all:x?} for {cut} bytes");
    }
}
