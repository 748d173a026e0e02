//! Tests of the scan.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

proptest! {
    /// What the scan does not see is not there: everything else acts on it alone.
    #[test]
    fn nothing_is_overlooked(
        names in prop::collection::vec(
            "connection|keep-alive|te|upgrade|transfer-encoding|proxy-(authenticate|authorization|connection)|via|expect|\
             x-real-ip|x_real_ip|via_|content_length|content-length|accept|cookie|x-[a-z]{1,4}",
            0..6,
        ),
    ) {
        let mut headers = HeaderMap::new();
        for name in &names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("abc"));
        }
        let scan = Scan::of(&headers);
        let has = |names: &[&str]| names.iter().any(|name| headers.contains_key(*name));
        prop_assert_eq!(scan.has(Seen::Connection), has(&["connection"]));
        prop_assert_eq!(scan.has(Seen::Te), has(&["te"]));
        prop_assert_eq!(scan.has(Seen::Via), has(&["via"]));
        prop_assert_eq!(scan.has(Seen::Expect), has(&["expect"]));
        prop_assert_eq!(scan.has(Seen::Coding), has(&["transfer-encoding"]));
        prop_assert_eq!(scan.has(Seen::Length), has(&["content-length"]));
        prop_assert_eq!(scan.has(Seen::Cookie), has(&["cookie"]));
        let hop = ["keep-alive", "upgrade", "proxy-authenticate", "proxy-authorization", "proxy-connection"];
        prop_assert_eq!(scan.has(Seen::Hop), has(&hop));
        prop_assert_eq!(scan.has(Seen::Unwanted), has(&["x-real-ip", "x_real_ip", "content_length"]));
        prop_assert_eq!(scan.bytes, names.iter().map(|name| name.len() + 3).sum::<usize>());
    }
}
