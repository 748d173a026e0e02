//! Whether answers are true.

use std::collections::HashSet;

use crate::report::Wrong;

/// The key of the queue that takes everything.
pub const ACCEPTED: &str = "bench.accepted";

/// The key of the queue that is soon full and refuses.
pub const REFUSED: &str = "bench.refused";

/// So many publishes of one task may wait for their answer.
pub const IN_FLIGHT: usize = 50;

/// So many the queue that refuses takes first.
pub const ROOM: u32 = 500;

/// Where the publish of this number goes: some are accepted, some refused, some lead nowhere, in a mix that no
/// batch size divides.
#[must_use]
pub fn destination(number: u64) -> &'static str {
    // The upper bits of a multiplication are as good as drawn, and the same each time.
    let drawn = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    [ACCEPTED, REFUSED, crate::NOWHERE][usize::try_from(drawn % 3).unwrap_or_default()]
}

/// What a publisher was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "there are no more")]
pub enum Told {
    /// The broker has it.
    Accepted,
    /// The broker refused it.
    Refused,
    /// No queue wanted it.
    Returned,
    /// Nothing, in time.
    Nothing,
}

/// Compares what publishers were told of each number with what the queues really hold.
#[must_use]
pub fn judge(told: &[(u64, &str, Told)], stored: &HashSet<u64>) -> Wrong {
    let mut wrong = Wrong::default();
    for (number, destination, told) in told {
        let count = match (told, stored.contains(number)) {
            (Told::Nothing, _) => &mut wrong.unanswered,
            (Told::Accepted, false) => &mut wrong.falsely_accepted,
            (Told::Refused | Told::Returned, true) => &mut wrong.falsely_refused,
            (Told::Refused, false) if *destination == crate::NOWHERE => &mut wrong.misnamed,
            (Told::Returned, false) if *destination != crate::NOWHERE => &mut wrong.misnamed,
            _ => continue,
        };
        *count += 1;
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_lie_is_found() {
        let told = [
            (1, ACCEPTED, Told::Accepted),
            (2, REFUSED, Told::Refused),
            (3, crate::NOWHERE, Told::Returned),
            (4, REFUSED, Told::Accepted),
            (5, ACCEPTED, Told::Refused),
            (6, ACCEPTED, Told::Returned),
            (7, REFUSED, Told::Returned),
            (8, crate::NOWHERE, Told::Refused),
            (9, ACCEPTED, Told::Nothing),
        ];
        let wrong = judge(&told, &HashSet::from([1, 5, 6, 9]));
        assert_eq!(wrong, Wrong { falsely_accepted: 1, falsely_refused: 2, misnamed: 2, unanswered: 1 });
        assert_eq!(wrong.sum(), 6);
    }

    #[test]
    fn destinations_are_mixed() {
        let count = |key| (0..3000).filter(|number| destination(*number) == key).count();
        for key in [ACCEPTED, REFUSED, crate::NOWHERE] {
            assert!((700..1300).contains(&count(key)), "{key}: {}", count(key));
        }
    }
}
