//! Tests of forwarding headers.

use proptest::prelude::*;

use super::*;

proptest! {
    /// From an untrusted peer nothing that it claims survives, in any spelling; everything else does.
    #[test]
    fn no_claim_of_a_stranger_survives(
        fields in prop::collection::vec(
            ("x[-_]forwarded[-_](for|proto|host|port|server)|forwarded|x[-_]real[-_]ip|true[-_]client[-_]ip|x-[a-z]{1,5}|accept", "[!-~]{1,12}"),
            0..10,
        ),
        v6 in any::<bool>(),
        trust in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let before = headers.clone();
        let peer = Peer::new(if v6 { "[2001:db8::9]:1" } else { "192.0.2.9:1" }.parse().unwrap());
        let ip = peer.addr.ip();
        let trusted: TrustedProxies = if trust { ip.to_string().parse().unwrap() } else { TrustedProxies::none() };
        let authority: Authority = "shop.example:81".parse().unwrap();

        apply(&mut headers, Some(&peer), Some(&authority), &trusted);

        prop_assert!(headers.keys().all(|name| !name.as_str().contains('_') || !is_claim(name.as_str(), false)));
        let chain: Vec<_> = headers.get_all(&X_FORWARDED_FOR).iter().collect();
        prop_assert_eq!(chain.len(), 1);
        let chain = chain[0].to_str().unwrap().to_owned();
        let element = if v6 { "for=\"[2001:db8::9]\"" } else { "for=192.0.2.9" };
        let element = format!("{element};host=\"shop.example:81\";proto=http");
        if trust {
            prop_assert!(chain.ends_with(&ip.to_string()));
            for claim in before.get_all(&X_FORWARDED_FOR) {
                prop_assert!(chain.contains(claim.to_str().unwrap()));
            }
            prop_assert!(headers[FORWARDED].to_str().unwrap().ends_with(&element));
        } else {
            prop_assert_eq!(chain, ip.to_string());
            prop_assert_eq!(headers[FORWARDED].to_str().unwrap(), element);
            prop_assert_eq!(&headers[X_FORWARDED_HOST], "shop.example:81");
            prop_assert!(!headers.contains_key("x-real-ip"));
            prop_assert!(!headers.contains_key("x-forwarded-port"));
        }
        // The client is found again in what was written.
        prop_assert_eq!(TrustedProxies::none().client(&headers, ip), ip);
        for name in before.keys().filter(|name| !is_claim(name.as_str(), false)) {
            prop_assert!(headers.get_all(name).iter().eq(before.get_all(name).iter()));
        }
    }
}

#[test]
fn without_a_peer_claims_go_and_none_come() {
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
    apply(&mut headers, None, None, &"0.0.0.0/0".parse().unwrap());
    assert!(headers.is_empty());
}
