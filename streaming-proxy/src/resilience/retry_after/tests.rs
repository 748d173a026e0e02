//! Tests of [`retry_after`].

use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const NINE: &str = "Fri, 31 Dec 1999 23:59:09 GMT";
const ZERO: &str = "Fri, 31 Dec 1999 23:59:00 GMT";

fn read(value: &str, date: Option<&str>) -> Option<Duration> {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_str(value).unwrap());
    if let Some(date) = date {
        headers.insert(DATE, HeaderValue::from_str(date).unwrap());
    }
    retry_after(&headers, || httpdate::parse_http_date(ZERO).unwrap())
}

#[test]
fn seconds_and_dates() {
    for (value, date, wanted) in [
        ("0", None, Some(0)),
        (" 120 ", None, Some(120)),
        ("99999999999999999999999", None, Some(u64::MAX)),
        (NINE, None, Some(9)),
        (NINE, Some("Fri, 31 Dec 1999 23:59:05 GMT"), Some(4)),
        ("Friday, 31-Dec-99 23:59:09 GMT", Some(ZERO), Some(9)),
        ("Fri Dec 31 23:59:09 1999", Some(ZERO), Some(9)),
        (ZERO, Some(NINE), Some(0)),
        (NINE, Some("yesterday"), Some(9)),
        ("", None, None),
        ("-1", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("1, 2", None, None),
    ] {
        assert_eq!(read(value, date), wanted.map(Duration::from_secs), "{value} {date:?}");
    }
    assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now), None);
}

proptest! {
    #[test]
    fn nothing_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
            let _ = retry_after(&headers, || SystemTime::UNIX_EPOCH);
        }
    }
}
