//! Sentences of RFC 9111, RFC 9110 and RFC 5861 as answers.

use std::time::SystemTime;

use http::{HeaderName, Response};

use super::*;
use crate::layer::http_cache::answer::{age, dated};
use crate::layer::http_cache::scope::Scope;

const MINUTE: Duration = Duration::from_secs(60);

/// Sun, 06 Nov 1994 08:49:37 GMT: the answers come then.
const NOW: Duration = Duration::from_secs(784_111_777);

fn verdict_by(status: u16, fields: &[(&str, &str)], scope: &Scope, policy: &Policy) -> Verdict {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let (mut head, ()) = response.body(()).unwrap().into_parts();
    let now = SystemTime::UNIX_EPOCH + NOW;
    dated(&mut head.headers, now);
    let age = age(&head.headers, Duration::ZERO, now);
    let (request, ()) = http::Request::get("/x").body(()).unwrap().into_parts();
    judge(&head, age, &scope.audience, &HttpKey::new(&request, scope).unwrap(), policy)
}

fn verdict(status: u16, fields: &[(&str, &str)]) -> Verdict {
    verdict_by(status, fields, &Scope::public(), &Policy::new(MINUTE))
}

fn kept(seconds: u64) -> Verdict {
    Verdict::Keep { ttl: Duration::from_secs(seconds), stale: None }
}

fn stale(verdict: Verdict) -> Option<u64> {
    match verdict {
        Verdict::Keep { stale, .. } => stale.map(|stale| stale.as_secs()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn lives_are_what_the_answer_says_within_the_policy() {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let table: [(&[(&str, &str)], Verdict); 22] = [
        (&[], kept(60)),
        (&[("cache-control", "public")], kept(60)),
        (&[("cache-control", "max-age=10")], kept(10)),
        // The policy is the bound.
        (&[("cache-control", "max-age=3600")], kept(60)),
        // 5.3: a recipient must ignore `Expires` when there is `max-age`.
        (&[("cache-control", "max-age=10"), ("expires", "0")], kept(10)),
        (&[date, ("expires", "Sun, 06 Nov 1994 08:49:57 GMT")], kept(20)),
        (&[date, ("expires", "Sun, 06 Nov 1994 08:49:37 GMT")], Verdict::Pass("no_life")),
        // 5.3: what cannot be read, above all 0, is in the past.
        (&[("expires", "0")], Verdict::Pass("no_life")),
        // A date that is not said is now.
        (&[("expires", "Sun, 06 Nov 1994 08:49:57 GMT")], kept(20)),
        (&[("date", "soon"), ("expires", "Sun, 06 Nov 1994 08:49:57 GMT")], Verdict::Pass("no_life")),
        (&[date, ("expires", "Sun, 06 Nov 1994 08:49:57 GMT"), ("expires", "0")], Verdict::Pass("no_life")),
        (&[("cache-control", "max-age=0")], Verdict::Pass("no_life")),
        (&[("cache-control", "max-age=soon")], Verdict::Pass("no_life")),
        // 4.2: an answer is fresh while its life is longer than its age.
        (&[("cache-control", "max-age=30"), ("age", "10")], kept(20)),
        (&[("cache-control", "max-age=30"), ("age", "30")], Verdict::Pass("no_life")),
        // 4.2.3: the larger of what its date and what its `Age` says.
        (&[("cache-control", "max-age=30"), ("date", "Sun, 06 Nov 1994 08:49:27 GMT")], kept(20)),
        (
            &[("cache-control", "max-age=30"), ("age", "20"), ("date", "Sun, 06 Nov 1994 08:49:27 GMT")],
            kept(10),
        ),
        (&[("cache-control", "max-age=30"), ("date", "Sun, 06 Nov 1994 08:49:47 GMT")], kept(30)),
        (&[("cache-control", "no-store, max-age=30")], Verdict::Pass("no_store")),
        (&[("cache-control", "no-cache, max-age=30")], Verdict::Pass("no_cache")),
        (&[("cache-control", "no-cache=\"x\", max-age=30")], Verdict::Pass("no_cache")),
        (&[("cache-control", "max-age=30"), ("cache-control", "private")], Verdict::Pass("private")),
    ];
    for (fields, expected) in table {
        assert_eq!(verdict(200, fields), expected, "{fields:?}");
    }
    // 5.2.2.10: `s-maxage` overrides both.
    let fields = [("cache-control", "s-maxage=5, max-age=30"), ("expires", "0")];
    assert!(matches!(verdict(200, &fields), Verdict::Keep { ttl, .. } if ttl == Duration::from_secs(5)));
}

#[test]
fn what_is_for_one_only_is_given_to_no_other() {
    let table: [(&[(&str, &str)], &str); 7] = [
        (&[("set-cookie", "a=b"), ("cache-control", "public, max-age=60")], "set_cookie"),
        (&[("vary", "*")], "vary"),
        (&[("vary", "accept, *")], "vary"),
        (&[("vary", "a, b, c, d, e, f, g, h, i")], "vary"),
        (&[("content-type", "Text/Event-Stream; charset=utf-8")], "stream"),
        (&[("content-range", "bytes 0-1/2")], "partial"),
        (&[("cache-control", "private=\"x\"")], "private"),
    ];
    for (fields, why) in table {
        assert_eq!(verdict(200, fields), Verdict::Pass(why), "{fields:?}");
        // Nor does a failure make it everybody's.
        assert_eq!(verdict(500, fields), Verdict::Pass(why), "{fields:?}");
    }
    let private = [("cache-control", "private, max-age=10")];
    let policy = Policy::new(MINUTE);
    assert_eq!(verdict_by(200, &private, &Scope::user("ada"), &policy), kept(10));
    assert_eq!(verdict_by(200, &private, &Scope::role("admin"), &policy), Verdict::Pass("private"));
    let cookie = [("set-cookie", "a=b")];
    assert_eq!(verdict_by(200, &cookie, &Scope::user("ada"), &policy), Verdict::Pass("set_cookie"));
}

#[test]
fn only_some_statuses_are_kept() {
    for status in [200, 203, 204, 300, 301, 308] {
        assert_eq!(verdict(status, &[]), kept(60), "{status}");
    }
    for status in [101, 201, 202, 302, 303, 304, 307, 400, 401, 403, 405, 409, 414, 418, 421, 429, 451] {
        assert_eq!(verdict(status, &[("cache-control", "max-age=60")]), Verdict::Pass("status"), "{status}");
    }
    assert_eq!(verdict(206, &[]), Verdict::Pass("partial"));
    for status in [500, 501, 502, 503, 504, 599] {
        assert_eq!(verdict(status, &[("cache-control", "max-age=60")]), Verdict::Failed, "{status}");
    }
    let mut policy = Policy::new(MINUTE);
    for status in [404, 410] {
        assert_eq!(verdict_by(status, &[], &Scope::public(), &policy), Verdict::Share, "{status}");
    }
    // What has no life is nobody else's.
    let dead = [("cache-control", "max-age=0")];
    assert_eq!(verdict_by(404, &dead, &Scope::public(), &policy), Verdict::Pass("no_life"));
    policy.negative_ttl = Some(Duration::from_secs(5));
    for status in [404, 410] {
        let never = Some(Duration::ZERO);
        let kept = Verdict::Keep { ttl: Duration::from_secs(5), stale: never };
        assert_eq!(verdict_by(status, &[], &Scope::public(), &policy), kept, "{status}");
    }
}

#[test]
fn the_answer_depends_on_what_it_says() {
    let accept: HeaderName = "accept".parse().unwrap();
    let vary = [("vary", "Accept, accept-language")];
    let names = vec![accept.clone(), "accept-language".parse().unwrap()];
    assert_eq!(verdict(200, &vary), Verdict::Varies(names));
    let policy = Policy::new(MINUTE);
    let scope = Scope::public().with_vary(accept);
    assert_eq!(verdict_by(200, &[("vary", "ACCEPT")], &scope, &policy), kept(60));
    // Who waited with another value must not get this one.
    assert_eq!(verdict(404, &vary), Verdict::Pass("vary"));
    assert_eq!(verdict(503, &vary), Verdict::Pass("vary"));
    assert_eq!(verdict_by(503, &[("vary", "accept")], &scope, &policy), Verdict::Failed);
}

#[test]
fn old_answers_are_allowed_by_their_own_words() {
    let hard = Policy { stale_for: Some(MINUTE), ..Policy::new(MINUTE) };
    let soft = Policy { soft_timeout: Some(Duration::ZERO), ..hard.clone() };
    let table = [
        // Words, when the load fails, while it runs.
        ("max-age=9", None, None),
        ("max-age=9, must-revalidate, stale-if-error=5", Some(0), Some(0)),
        ("max-age=9, proxy-revalidate, stale-while-revalidate=5", Some(0), Some(0)),
        ("s-maxage=9", Some(0), Some(0)),
        ("s-maxage=9, stale-while-revalidate=5", Some(5), Some(5)),
        ("max-age=9, stale-while-revalidate=5, stale-if-error=50", Some(50), Some(5)),
        ("max-age=9, stale-if-error=50", Some(50), Some(0)),
    ];
    for (said, failed, running) in table {
        let by = |policy| verdict_by(200, &[("cache-control", said)], &Scope::public(), policy);
        assert_eq!(stale(by(&hard)), failed, "{said}");
        assert_eq!(stale(by(&soft)), running, "{said}");
    }
}

#[test]
fn what_it_took_to_come_is_part_of_its_age() {
    let now = SystemTime::UNIX_EPOCH + NOW;
    let seconds = Duration::from_secs;
    let mut headers = HeaderMap::new();
    dated(&mut headers, now);
    assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(age(&headers, seconds(3), now), seconds(3));
    headers.insert("age", 10.into());
    // RFC 9111, 4.2.3: relative to when it was asked for.
    assert_eq!(age(&headers, seconds(3), now), seconds(13));
    headers.insert(DATE, "Sun, 06 Nov 1994 08:49:07 GMT".parse().unwrap());
    assert_eq!(age(&headers, seconds(3), now), seconds(30));
    dated(&mut headers, now);
    assert_eq!(headers[DATE], "Sun, 06 Nov 1994 08:49:07 GMT", "what is said stays");
    headers.insert("age", "old".parse().unwrap());
    headers.insert(DATE, "old".parse().unwrap());
    assert_eq!(age(&headers, Duration::ZERO, now), Duration::ZERO);
}
