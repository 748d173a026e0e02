//! Tests of [`Cursor`] against frames that another encoder wrote.

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame as Encoded, FrameHeader};

use super::*;

#[derive(Clone, Debug)]
enum Sent {
    Control {
        bytes: usize,
    },
    /// A message in so many frames, of so many bytes each.
    Message {
        frames: usize,
        bytes: usize,
    },
}

fn sent() -> impl Strategy<Value = Vec<(Sent, bool)>> {
    let bytes = prop_oneof![0_usize..3, 120_usize..130, 65_530_usize..65_540];
    let one = prop_oneof![
        (0_usize..=125).prop_map(|bytes| Sent::Control { bytes }),
        (1_usize..5, bytes).prop_map(|(frames, bytes)| Sent::Message { frames, bytes }),
    ];
    proptest::collection::vec((one, any::<bool>()), 1..8)
}

fn write(to: &mut Vec<u8>, opcode: OpCode, last: bool, bytes: usize, masked: bool) {
    let mask = masked.then_some([1, 2, 3, 4]);
    let header = FrameHeader { is_final: last, opcode, mask, ..FrameHeader::default() };
    // Payloads that look like headers of control frames.
    Encoded::from_payload(header, vec![0x89; bytes].into()).format(to).unwrap();
}

/// Control frames, and the most frames of a message.
trait Seen {
    fn count(&mut self, frame: Frame) -> bool;
}

impl Seen for (u32, u32) {
    fn count(&mut self, frame: Frame) -> bool {
        match frame {
            Frame::Close => {}
            Frame::Control => self.0 += 1,
            Frame::Data(number) => self.1 = self.1.max(number),
        }
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_are_counted_however_they_are_cut(
        sent in sent(),
        cuts in proptest::collection::vec(1_usize..5_000, 1..50),
    ) {
        let (mut bytes, mut control, mut fragments) = (Vec::new(), 0, 0);
        for (one, masked) in sent {
            match one {
                Sent::Control { bytes: size } => {
                    control += 1;
                    write(&mut bytes, OpCode::Control(Control::Ping), true, size, masked);
                }
                Sent::Message { frames, bytes: size } => {
                    fragments = fragments.max(u32::try_from(frames).unwrap());
                    for frame in 0..frames {
                        let opcode = if frame == 0 { Data::Text } else { Data::Continue };
                        write(&mut bytes, OpCode::Data(opcode), frame + 1 == frames, size, masked);
                        if frame + 1 < frames {
                            // One within a message counts, and the message goes on.
                            control += 1;
                            write(&mut bytes, OpCode::Control(Control::Pong), true, 3, masked);
                        }
                    }
                }
            }
        }
        let (mut cursor, mut all, mut rest) = (Cursor::default(), (0, 0), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            prop_assert_eq!(cursor.feed(head, |frame| all.count(frame)), head.len());
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(all, (control, fragments));
        prop_assert!(cursor.is_between_messages());
    }

    #[test]
    fn nothing_breaks_the_cursor(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (mut cursor, mut all) = (Cursor::default(), (0, 0));
        prop_assert_eq!(cursor.feed(&bytes, |frame| all.count(frame)), bytes.len());
        prop_assert!(all.0 as usize + all.1 as usize <= bytes.len());
    }

    #[test]
    fn what_is_not_to_begin_is_not_read(frames in 1_usize..50, fits in 0_usize..50) {
        let ping = [0x89, 0x81, 1, 2, 3, 4, b'x'];
        let (mut cursor, mut left) = (Cursor::default(), fits);
        let within = cursor.feed(&ping.repeat(frames), |_| {
            let goes_on = left > 0;
            left = left.saturating_sub(1);
            goes_on
        });
        prop_assert_eq!(within, fits.min(frames) * ping.len());
    }
}
