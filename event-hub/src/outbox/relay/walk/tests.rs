//! Tests of [`Walk`].

use super::*;

fn row(seq: i64, part: u8, key: Option<&str>) -> Row {
    Row {
        seq,
        part,
        key: key.map(str::to_owned),
        body: Vec::new(),
        created_at: 0,
        attempts: 0,
        refused: 0,
        refused_since: 0,
    }
}

fn way(walk: &Walk, parts: &[u8]) -> Vec<(u8, String)> {
    walk.way(parts.iter().copied().collect())
}

#[test]
fn a_full_look_goes_on_at_its_last_key_and_comes_round() {
    let mut walk = Walk::default();
    let first = way(&walk, &[1, 4, 9]);
    assert_eq!(first, [(1, String::new()), (4, String::new()), (9, String::new())]);
    assert!(walk.went(&first, &[row(7, 1, Some("z")), row(3, 4, Some("b")), row(2, 4, Some("a"))], 3));
    let second = way(&walk, &[1, 4, 9]);
    assert_eq!(second, [(4, "b".to_owned()), (9, String::new()), (1, String::new())]);
    assert!(walk.went(&second, &[row(9, 1, Some("a"))], 3), "keys before b were not looked at");
    let third = way(&walk, &[1, 4, 9]);
    assert_eq!(third[0], (4, String::new()));
    assert!(!walk.went(&third, &[], 3));
}

#[test]
fn rows_without_a_key_do_not_end_a_walk() {
    let mut walk = Walk::default();
    let first = way(&walk, &[0]);
    assert!(!walk.went(&first, &[row(1, 0, None), row(2, 0, None), row(3, 0, Some("a"))], 3));
}

#[test]
fn a_partition_that_is_another_s_now_is_passed_over() {
    let mut walk = Walk::default();
    let first = way(&walk, &[2, 3]);
    assert!(walk.went(&first, &[row(1, 3, Some("k"))], 1));
    assert_eq!(way(&walk, &[2]), [(2, String::new())]);
}
