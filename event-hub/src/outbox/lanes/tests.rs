//! Tests of [`Lanes`].

use super::*;

const LANE: usize = 64;

fn row(seq: i64, key: Option<&str>) -> Row {
    Row {
        seq,
        part: 3,
        key: key.map(str::to_owned),
        body: Vec::new(),
        created_at: 0,
        attempts: 0,
        refused: 0,
        refused_since: 0,
    }
}

fn taken(lanes: &mut Lanes) -> Vec<i64> {
    std::iter::from_fn(|| lanes.take(false)).map(|row| row.seq).collect()
}

#[test]
fn one_row_of_a_key_at_a_time_in_order() {
    let mut lanes = Lanes::new(LANE);
    for (seq, key) in [(1, Some("a")), (2, Some("a")), (3, None), (4, Some("b")), (5, None)] {
        assert!(lanes.add(row(seq, key)));
    }
    assert_eq!(taken(&mut lanes), [1, 3, 4, 5]);
    lanes.done(1);
    assert_eq!(taken(&mut lanes), [2]);
}

#[test]
fn a_failed_row_takes_the_later_ones_of_its_key_with_it() {
    let mut lanes = Lanes::new(LANE);
    for (seq, key) in [(1, Some("a")), (2, Some("a")), (3, Some("b"))] {
        lanes.add(row(seq, key));
    }
    assert_eq!(taken(&mut lanes), [1, 3]);
    lanes.hold(1);
    lanes.done(3);
    assert_eq!((taken(&mut lanes), lanes.len(), lanes.rows().len()), (vec![], 0, 0));
    // Loaded again once it is due.
    lanes.add(row(1, Some("a")));
    assert_eq!(taken(&mut lanes), [1]);
}

#[test]
fn a_row_that_committed_late_goes_first() {
    let mut lanes = Lanes::new(LANE);
    lanes.add(row(7, Some("a")));
    lanes.add(row(5, Some("a")));
    assert_eq!(taken(&mut lanes), [5]);
    lanes.done(5);
    assert_eq!(taken(&mut lanes), [7]);
}

#[test]
fn a_long_lane_leaves_room_and_a_row_that_is_out_is_not_taken_twice() {
    let mut lanes = Lanes::new(LANE);
    let long = i64::try_from(LANE).unwrap();
    for seq in 0..long {
        assert!(lanes.add(row(seq, Some("a"))));
    }
    assert!(!lanes.add(row(long, Some("a"))));
    assert_eq!(lanes.full_keys(), ["a"]);
    assert_eq!(taken(&mut lanes), [0]);
    assert!(lanes.add(row(0, Some("a"))));
    lanes.clear();
    assert_eq!(lanes.rows(), [0]);
    lanes.add(row(1, Some("a")));
    assert_eq!(taken(&mut lanes), Vec::<i64>::new(), "row 0 is still out");
    lanes.done(0);
    assert_eq!(taken(&mut lanes), [1]);
}

#[test]
fn a_probe_takes_what_was_tried_least() {
    let mut lanes = Lanes::new(LANE);
    lanes.add(Row { attempts: 3, ..row(1, None) });
    lanes.add(row(2, None));
    assert_eq!(lanes.take(true).unwrap().seq, 2);
}

#[test]
fn what_is_out_of_a_partition_that_is_left_still_holds_its_key() {
    let mut lanes = Lanes::new(LANE);
    for (seq, part, key) in [(1, 3, "a"), (2, 3, "a"), (3, 3, "b"), (4, 5, "c")] {
        lanes.add(Row { part, ..row(seq, Some(key)) });
    }
    assert_eq!(lanes.take(false).unwrap().seq, 1);
    lanes.forget(Parts::from_iter([3]));
    assert_eq!(taken(&mut lanes), [4]);
    assert_eq!((lanes.out_of(3), lanes.out_of(5)), (1, 1));
    // Back again, with row 1 still out.
    lanes.add(row(2, Some("a")));
    lanes.add(row(3, Some("b")));
    assert_eq!(taken(&mut lanes), [3]);
    lanes.done(1);
    assert_eq!(taken(&mut lanes), [2]);
}
