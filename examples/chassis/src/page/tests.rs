//! Tests of pages and cursors.

use super::*;

fn with(cursor: &str) -> PageRequest {
    PageRequest { limit: 2, cursor: Some(cursor.to_owned()) }
}

#[test]
fn a_cursor_comes_back_and_the_last_page_has_none() {
    let request = PageRequest::first(2);
    let page = Page::new(&request, "payments", vec![3, 2, 1], |n| (*n, "id"));
    assert_eq!(page.items, [3, 2]);
    let next = page.next_cursor.unwrap();
    let key: (i64, String) = with(&next).after("payments").unwrap().unwrap();
    assert_eq!(key, (2, "id".to_owned()));

    let last = Page::new(&request, "payments", vec![1, 0], |n| *n);
    assert_eq!((last.items.len(), last.next_cursor), (2, None));
    let json = serde_json::to_string(&Page::<u8>::whole(vec![])).unwrap();
    assert_eq!(json, "{\"items\":[],\"nextCursor\":null}");
}

#[test]
fn bad_cursors_are_refused() {
    let good = cursor("payments", &7);
    assert!(with(&good).after::<i64>("payments").is_ok());
    let mut changed = URL_SAFE_NO_PAD.decode(&good).unwrap();
    changed[CHECK] ^= 1;
    let long = cursor("payments", &"x".repeat(2000));
    for bad in ["", "abc", "%%%", &URL_SAFE_NO_PAD.encode(changed), &good[..4], &long] {
        let problem = with(bad).after::<serde_json::Value>("payments").unwrap_err();
        assert_eq!(problem.errors()[0].pointer, "?cursor", "{bad}");
    }
    // Of another list, or of another shape.
    assert!(with(&good).after::<i64>("users").is_err());
    assert!(with(&good).after::<String>("payments").is_err());
}
