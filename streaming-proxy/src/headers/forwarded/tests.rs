//! Tests of forwarding headers.

use proptest::prelude::*;

use super::*;

proptest! {
    /// From an untrusted peer nothing that it claims survives, in any spelling; everything else does.
    #[test]
    fn no_claim_of_a_stranger_survives(
        fields in prop::collection::vec(
            ("x[-_]forwarded[-_](for|proto|host|port|server)|forwarded|x[-_]real[-_]ip|true[-_]client[-_]ip|client[-_]cert|\
              proxy|x[-_]original[-_][a-z]{1,4}|(x[-_]request[-_]id|content[-_]type|user[-_]agent)|x-[a-z]{1,5}|accept", "[!-~]{1,12}|(for=)?192\\.0\\.2\\.[0-9]{1,2}(, ?(for=)?192\\.0\\.2\\.[0-9]{1,2})?"),
            0..10,
        ),
        v6 in any::<bool>(),
        trust in any::<bool>(),
        rfc in any::<bool>(),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let before = headers.clone();
        let peer = Peer::new(if v6 { "[2001:db8::9]:1" } else { "192.0.2.9:1" }.parse().unwrap());
        let ip = peer.addr.ip();
        let trusted: TrustedProxies = if trust { ip.to_string().parse().unwrap() } else { TrustedProxies::none() };
        let trusted = if rfc { trusted.with_family(ForwardedFamily::Forwarded) } else { trusted };
        let authority: Authority = "shop.example:81".parse().unwrap();

        let scan = Scan::of(&headers);
        apply(&mut headers, scan, Some(&peer), Some(&authority), &trusted);

        let own = [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO, X_REAL_IP];
        for name in headers.keys().filter(|name| !own.contains(name)) {
            prop_assert!(!["forwarded", "real-ip", "original", "client", "proxy", "_id", "_type"].iter().any(|part|
                name.as_str().contains(part)), "{}", name);
        }
        let chain: Vec<_> = headers.get_all(&X_FORWARDED_FOR).iter().collect();
        prop_assert_eq!(chain.len(), 1);
        let chain = chain[0].to_str().unwrap().to_owned();
        let element = if v6 { "for=\"[2001:db8::9]\"" } else { "for=192.0.2.9" };
        let element = format!("{element};host=\"shop.example:81\";proto=http");
        if trust {
            prop_assert!(chain.ends_with(&ip.to_string()));
            let (own, other) = if rfc { (&FORWARDED, &X_FORWARDED_FOR) } else { (&X_FORWARDED_FOR, &FORWARDED) };
            for claim in before.get_all(own) {
                prop_assert!(headers[own].to_str().unwrap().contains(claim.to_str().unwrap()));
            }
            // Both tell the same of the way, and nothing of what the client wrote where the front does not.
            let told = |name| match name == FORWARDED {
                true => hops(&headers, ForwardedFamily::Forwarded),
                false => hops(&headers, ForwardedFamily::XForwarded),
            };
            prop_assert_eq!(told(own.clone()), told(other.clone()));
            prop_assert!(headers[FORWARDED].to_str().unwrap().ends_with(&element));
        } else {
            prop_assert_eq!(chain, ip.to_string());
            prop_assert_eq!(headers[FORWARDED].to_str().unwrap(), element);
            prop_assert_eq!(&headers[X_FORWARDED_HOST], "shop.example:81");
            prop_assert_eq!(&headers[X_FORWARDED_PROTO], "http");
        }
        let client = trusted.client(&before, ip).to_string();
        prop_assert_eq!(headers.get_all(X_REAL_IP).iter().collect::<Vec<_>>(), [client.as_str()]);
        // The client is found again in what was written.
        prop_assert_eq!(TrustedProxies::none().client(&headers, ip), ip);
        for name in before.keys().filter(|name| !claims::is_unwanted(name.as_str())) {
            prop_assert!(headers.get_all(name).iter().eq(before.get_all(name).iter()));
        }
    }
}

#[test]
fn without_a_peer_claims_go_and_none_come() {
    let mut headers = HeaderMap::new();
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("6.6.6.6"));
    let scan = Scan::of(&headers);
    apply(&mut headers, scan, None, None, &"0.0.0.0/0".parse().unwrap());
    assert!(headers.is_empty());
}

#[test]
fn what_a_front_says_of_the_client_is_told_in_both_families() {
    let peer = Peer::new("10.0.0.2:1".parse().unwrap());
    let authority: Authority = "inner".parse().unwrap();
    let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let rfc = trusted.clone().with_family(ForwardedFamily::Forwarded);
    let hostless = trusted.clone().without_host();
    let way = "for=7.7.7.7;host=\"shop\";proto=https, for=10.0.0.2;host=\"inner\";proto=http";
    for (what, trusted, fields, [chain, proto, host, forwarded]) in [
        (
            "X-Forwarded",
            &trusted,
            vec![
                ("x-forwarded-for", "7.7.7.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "shop"),
            ],
            ["7.7.7.7, 10.0.0.2", "https", "shop", way],
        ),
        (
            "Forwarded",
            &rfc,
            vec![
                ("forwarded", "for=7.7.7.7;proto=https;host=shop"),
                ("x-forwarded-proto", "ws"),
                ("x-forwarded-host", "evil"),
            ],
            [
                "7.7.7.7, 10.0.0.2",
                "https",
                "shop",
                "for=7.7.7.7;proto=https;host=shop, for=10.0.0.2;host=\"inner\";proto=http",
            ],
        ),
        (
            "a client that invents items before the front's",
            &trusted,
            vec![
                ("x-forwarded-for", "6.6.6.6, 7.7.7.7, 10.0.0.1"),
                ("x-forwarded-proto", "wss, https, http"),
                ("x-forwarded-host", "evil, shop, inner"),
            ],
            [
                "6.6.6.6, 7.7.7.7, 10.0.0.1, 10.0.0.2",
                "https",
                "shop",
                "for=6.6.6.6, for=7.7.7.7;host=\"shop\";proto=https, for=10.0.0.1, \
                 for=10.0.0.2;host=\"inner\";proto=http",
            ],
        ),
        (
            "a front that passes on the client's host",
            &hostless,
            vec![
                ("x-forwarded-for", "7.7.7.7"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "evil"),
            ],
            [
                "7.7.7.7, 10.0.0.2",
                "https",
                "inner",
                "for=7.7.7.7;proto=https, for=10.0.0.2;host=\"inner\";proto=http",
            ],
        ),
        (
            "what cannot be told",
            &trusted,
            vec![
                ("x-forwarded-for", "_hidden"),
                ("x-forwarded-proto", "gopher"),
                ("x-forwarded-host", "a\";for=6.6.6.6"),
            ],
            ["_hidden, 10.0.0.2", "http", "inner", "for=unknown, for=10.0.0.2;host=\"inner\";proto=http"],
        ),
        (
            "a front that says nothing",
            &trusted,
            vec![],
            ["10.0.0.2", "http", "inner", "for=10.0.0.2;host=\"inner\";proto=http"],
        ),
    ] {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_static(value));
        }
        let before = headers.clone();
        let scan = Scan::of(&headers);
        apply(&mut headers, scan, Some(&peer), Some(&authority), trusted);
        assert_eq!(headers.len(), 5, "{what}");
        assert_eq!(headers[X_FORWARDED_FOR], chain, "{what}");
        assert_eq!(headers[X_FORWARDED_PROTO], proto, "{what}");
        assert_eq!(headers[X_FORWARDED_HOST], host, "{what}");
        assert_eq!(headers[FORWARDED], forwarded, "{what}");
        assert_eq!(headers[X_REAL_IP], trusted.client(&before, peer.addr.ip()).to_string(), "{what}");
    }
}

#[test]
fn what_a_front_is_said_to_write_passes_and_only_from_it() {
    let name = HeaderName::from_static("cf-connecting-ip");
    let trusted: TrustedProxies = "10.0.0.0/8".parse().unwrap();
    let trusted = trusted.with_field(name.clone());
    for (peer, kept) in [("10.0.0.1:1", true), ("192.0.2.1:1", false)] {
        let mut headers = HeaderMap::new();
        headers.insert(name.clone(), HeaderValue::from_static("7.7.7.7"));
        headers.insert("true-client-ip", HeaderValue::from_static("6.6.6.6"));
        let scan = Scan::of(&headers);
        apply(&mut headers, scan, Some(&Peer::new(peer.parse().unwrap())), None, &trusted);
        assert_eq!(headers.contains_key(&name), kept, "{peer}");
        assert!(!headers.contains_key("true-client-ip"), "{peer}");
    }
}

#[test]
fn the_hops_that_are_trusted_are_counted_from_here() {
    let peer = Peer::new("192.0.2.1:1".parse().unwrap());
    let chain = "6.6.6.6, 7.7.7.7, 192.0.2.2";
    for (hops, client, sent, proto) in [
        (0, "192.0.2.1", "192.0.2.1".to_owned(), "http"),
        (1, "192.0.2.2", format!("{chain}, 192.0.2.1"), "ws"),
        (2, "7.7.7.7", format!("{chain}, 192.0.2.1"), "https"),
        (3, "6.6.6.6", format!("{chain}, 192.0.2.1"), "wss"),
        (9, "6.6.6.6", format!("{chain}, 192.0.2.1"), "wss"),
    ] {
        let trusted = TrustedProxies::none().with_hops(hops);
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static(chain));
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("wss, https, ws"));
        assert_eq!(trusted.client(&headers, peer.addr.ip()).to_string(), client, "{hops}");
        let scan = Scan::of(&headers);
        apply(&mut headers, scan, Some(&peer), None, &trusted);
        assert_eq!(headers[X_REAL_IP], client, "{hops}");
        assert_eq!(headers[X_FORWARDED_FOR], sent, "{hops}");
        assert_eq!(headers[X_FORWARDED_PROTO], proto, "{hops}");
    }
}

proptest! {
    #[test]
    fn an_address_is_written_as_it_displays(octets in any::<[u8; 4]>()) {
        let ip = Ipv4Addr::from(octets);
        let mut text = BytesMut::new();
        write_octets(&mut text, ip);
        prop_assert_eq!(text, ip.to_string());
    }
}
