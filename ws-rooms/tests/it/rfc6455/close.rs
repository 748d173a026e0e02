//! Sections 5.5.1 and 7: how it ends.

use super::bytes::{BINARY, CLOSE, Frame, PING, TEXT, close, frame};
use super::{Row, play};

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let mut rows: Vec<Row> = vec![("nothing said", frame(CLOSE, ""), vec![Frame(CLOSE, Vec::new())])];
    for code in
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4001, 4999]
    {
        rows.push(("a code", close(code, ""), vec![Frame::close(code, "")]));
        rows.push(("a code and a reason", close(code, "Grüße"), vec![Frame::close(code, "Grüße")]));
    }
    let longest = "*".repeat(123);
    rows.push(("the longest reason", close(1000, &longest), vec![Frame::close(1000, &longest)]));
    play(rows).await;
}

#[tokio::test]
async fn a_close_that_is_none() {
    let wrong = |reason| vec![Frame::close(1002, reason)];
    let mut rows: Vec<Row> = vec![
        ("half a code", frame(CLOSE, [3]), wrong("protocol error")),
        ("too long a reason", close(1000, "*".repeat(124)), wrong("protocol error")),
    ];
    for code in [0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 9999, 65_535] {
        rows.push(("a code that is not to be sent", close(code, ""), wrong("Protocol violation")));
        rows.push(("the same, with a reason", close(code, "why"), wrong("Protocol violation")));
    }
    let not_utf8 = || vec![Frame::close(1007, "not UTF-8")];
    for reason in [&[0xC3, 0x28][..], &[0xED, 0xA0, 0x80], b"abc\xE2\x82"] {
        rows.push(("a reason that is not UTF-8", close(1000, reason), not_utf8()));
    }
    play(rows).await;
}

#[tokio::test]
async fn what_comes_behind_a_close_is_not_heard() {
    let mut rows: Vec<Row> = Vec::new();
    for behind in
        [frame(TEXT, "late"), frame(BINARY, "late"), frame(PING, "late"), close(1001, ""), vec![0xFF; 100]]
    {
        let sent = [frame(TEXT, "in time"), close(1000, "done"), behind].concat();
        rows.push(("behind", sent, vec![Frame::text("in time"), Frame::close(1000, "done")]));
    }
    play(rows).await;
}
