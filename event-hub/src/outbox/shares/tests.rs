//! Tests of [`plan`].

use proptest::prelude::*;

use super::*;

const ALL: Parts = Parts::ALL;

/// Some relays and what they have.
struct World(Vec<Parts>);

// === impl World ===

impl World {
    fn view(&self, me: usize) -> View {
        let taken = self.0.iter().fold(Parts::NONE, |all, held| all.and(*held));
        let others =
            self.0.iter().enumerate().filter(|(n, _)| *n != me).map(|(_, held)| held.len()).collect();
        View { others, free: ALL.without(taken) }
    }

    /// One relay looks and acts; whether it did something.
    fn turn(&mut self, me: usize, start: u8) -> bool {
        let plan = plan(&self.view(me), self.0[me], start);
        let give: Parts = self.0[me].from(start).take(plan.give as usize).collect();
        self.0[me] = self.0[me].without(give).and(plan.take);
        plan.give > 0 || !plan.take.is_empty()
    }

    fn shares(&self) -> Vec<u32> {
        let mut shares: Vec<_> = self.0.iter().map(|held| held.len()).collect();
        shares.sort_unstable();
        shares
    }
}

#[test]
fn one_alone_takes_all() {
    assert_eq!(plan(&View { others: vec![], free: ALL }, Parts::NONE, 5), Plan { take: ALL, give: 0 });
}

#[test]
fn who_has_too_many_gives_up_what_is_over_its_share() {
    let view = View { others: vec![0, 0], free: Parts::NONE };
    assert_eq!(plan(&view, ALL, 0), Plan { take: Parts::NONE, give: 10 });
}

#[test]
fn nobody_gives_while_something_is_free_for_the_other_one() {
    let view = View { others: vec![4], free: (0..4).collect() };
    assert_eq!(plan(&view, (4..12).collect(), 0), Plan { take: Parts::NONE, give: 0 });
}

proptest! {
    /// From any state, in any order of turns, all settle on fair shares of everything, and then rest.
    #[test]
    fn all_come_to_rest_on_fair_shares(
        owners in proptest::collection::vec(0_usize..21, 16),
        relays in 1_usize..21,
        draws in proptest::collection::vec((any::<usize>(), 0_u8..16), 400),
    ) {
        let mut world = World(vec![Parts::NONE; relays]);
        for (part, owner) in (0..PARTS).zip(owners) {
            // A number past the last relay: free.
            if let Some(held) = world.0.get_mut(owner) {
                held.insert(part);
            }
        }
        for (who, start) in draws {
            world.turn(who % relays, start);
        }
        // Everyone has had its turn by now.
        for round in 0..40 {
            for me in 0..relays {
                world.turn(me, round % PARTS);
            }
        }
        let shares = world.shares();
        prop_assert_eq!(shares.iter().sum::<u32>(), u32::from(PARTS));
        prop_assert!(shares[shares.len() - 1] - shares[0] <= 1, "{:?}", shares);
        for me in 0..relays {
            prop_assert!(!world.turn(me, 3), "at rest");
        }
    }
}
