//! Whatever an upstream answers: its client gets one answer that can be read in one way, and the next request gets its
//! own answer, never the rest of this one's.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy_fuzz::bed::{Bed, PLAIN};
use tramline_streaming_proxy_fuzz::strict::{self, Kind, Message, Read};

static BED: LazyLock<Bed> = LazyLock::new(Bed::start);

const NEXT: &[u8] = b"GET /plain HTTP/1.1\r\nhost: a\r\n\r\n";

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, script)) = bytes.split_first() else { return };
    let (head, close) = (flags & 1 == 1, flags & 2 == 2);
    let method = if head { "HEAD" } else { "GET" };
    let request = format!("{method} /script HTTP/1.1\r\nhost: a\r\n\r\n");
    let came = BED.send(request.as_bytes(), Some((script.to_vec(), close)), |answered| {
        // As a client does: when it has its answer, and may keep the connection.
        match strict::read(Kind::Answer(head), answered) {
            Read::Whole(first, _) if first.all("connection").next().is_none() => NEXT,
            _ => b"",
        }
    });
    check(&came.answered, script, head, close);
});

fn check(answered: &[u8], script: &[u8], head: bool, close: bool) {
    let shown =
        || format!("{:?} of {:?}", String::from_utf8_lossy(answered), String::from_utf8_lossy(script));
    let said = said(script, head, close);
    // Not closed: an answer without a framing does not end, whatever the proxy does.
    let (first, rest) = match strict::read(Kind::Answer(head), answered) {
        Read::Whole(first, rest) => (first, rest),
        Read::Part => {
            assert!(!said.is_some_and(|(_, sure)| sure), "a whole answer was cut off: {}", shown());
            assert!(!answered.windows(PLAIN.len()).any(|some| some == PLAIN), "two in one: {}", shown());
            return;
        }
        Read::Wrong(why) => panic!("{why}: {}", shown()),
    };
    for (name, _) in &first.fields {
        let ended =
            matches!(name.as_str(), "keep-alive" | "proxy-authenticate" | "proxy-connection" | "upgrade");
        assert!(!ended, "{name}: {}", shown());
    }
    match said {
        Some((said, _)) if first.word(1) == said.word(1) => assert_eq!(first.body, said.body, "{}", shown()),
        Some((_, true)) => panic!("another status: {}", shown()),
        _ => {}
    }
    if rest.is_empty() {
        return;
    }
    match strict::read(Kind::Answer(false), rest) {
        Read::Whole(second, rest) => {
            assert_eq!((second.word(1), &second.body[..], rest), ("200", PLAIN, &b""[..]), "{}", shown());
        }
        other => panic!("{other:?}: {}", shown()),
    }
}

/// The answer that a strict reader sees in the script, and whether there is nothing else in it.
fn said(mut script: &[u8], head: bool, close: bool) -> Option<(Message, bool)> {
    loop {
        let read = if close { strict::closed } else { strict::read };
        match read(Kind::Answer(head), script) {
            Read::Whole(said, _) if said.word(1) == "101" => return None,
            Read::Whole(said, rest) if said.word(1).starts_with('1') => script = rest,
            // hyper has bounds of its own for the heads of answers.
            Read::Whole(said, rest) => {
                let sure = rest.is_empty() && said.fields.len() < 100 && said.word(1) >= "200";
                return Some((said, sure));
            }
            Read::Part | Read::Wrong(_) => return None,
        }
    }
}
