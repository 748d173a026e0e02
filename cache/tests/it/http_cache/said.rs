//! What requests say of the cache, and their conditions.

use super::*;

const TAGGED: &[(&str, &str)] = &[
    ("etag", "\"a,b\""),
    ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("content-type", "text/plain"),
    ("cache-control", "max-age=10"),
    ("vary", "accept"),
    ("x-other", "1"),
];

#[tokio::test]
async fn who_has_it_is_told_so() {
    let rule: fn(&Parts) -> Option<Scope> = |_| Some(Scope::public().with_vary(http::header::ACCEPT));
    // The service must not see conditions: its 304 would be one for all.
    let answers = numbered(TAGGED);
    let site = Site::new(minute(), rule, move |request: Request<Full<Bytes>>| {
        let names = ["if-none-match", "if-modified-since"];
        assert!(names.iter().all(|name| !request.headers().contains_key(*name)));
        answers(request)
    });
    let table: [(&[(&str, &str)], bool); 15] = [
        (&[("if-none-match", "\"a,b\"")], true),
        (&[("if-none-match", "W/\"a,b\"")], true),
        (&[("if-none-match", "*")], true),
        (&[("if-none-match", "\"x\", \"a,b\"")], true),
        (&[("if-none-match", "\"x\""), ("if-none-match", "W/\"a,b\"")], true),
        (&[("if-none-match", "\"a\"")], false),
        (&[("if-none-match", "\"b\", \"a\"")], false),
        (&[("if-none-match", "\", \"")], false),
        (&[("if-none-match", "a,b")], false),
        (&[("if-none-match", "\"a,b")], false),
        // RFC 9110, 13.1.3: `If-Modified-Since` is ignored when there is `If-None-Match`.
        (&[("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], false),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")], true),
        (&[("if-modified-since", "Mon, 07 Nov 1994 08:49:37 GMT")], true),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT")], false),
        (&[("if-modified-since", "yesterday")], false),
    ];
    for (fields, has_it) in table {
        for method in ["GET", "HEAD"] {
            let read = site.read(method, "/x", fields).await;
            assert_eq!(read.head.status.as_u16(), if has_it { 304 } else { 200 }, "{fields:?}");
            assert_eq!(read.body, if has_it || method == "HEAD" { "" } else { "1" });
            for name in ["etag", "cache-control", "vary", "date", "x-other"] {
                assert!(read.field(name).is_some(), "{name} {fields:?}");
            }
            assert_eq!(read.field("content-type").is_none(), has_it);
            assert_eq!(read.field("last-modified").is_none(), has_it);
        }
    }
    assert_eq!(site.asked(), 1);
}

/// RFC 9110, section 15.4.5: it guides who has no tag.
#[tokio::test]
async fn the_time_of_its_change_stays_where_there_is_no_tag() {
    let time = "Sun, 06 Nov 1994 08:49:37 GMT";
    let site = Site::new(minute(), everything, numbered(const { &[TAGGED[1]] }));
    let read = site.get("/x", &[("if-modified-since", time)]).await;
    assert_eq!((read.head.status.as_u16(), read.field("last-modified")), (304, Some(time)));
}

/// RFC 9110, section 13.2.1: only of what would be a success.
#[tokio::test]
async fn nobody_has_a_failure_already() {
    let mut policy = minute();
    policy.negative_ttl = Some(Duration::from_secs(5));
    let site = Site::new(policy, everything, numbered(&[(":status", "404"), ("etag", "\"a\"")]));
    for from in ["miss", "hit"] {
        let read = site.get("/x", &[("if-none-match", "\"a\"")]).await;
        assert_eq!((read.head.status.as_u16(), read.body.as_str(), read.from()), (404, "1", Some(from)));
    }
}

#[tokio::test]
async fn an_answer_without_a_tag_is_not_had() {
    let site = Site::new(minute(), everything, numbered(&[(":status", "200")]));
    assert_eq!(site.get("/x", &[("if-none-match", "\"\"")]).await.head.status, 200);
    assert_eq!(
        site.get("/x", &[("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")]).await.head.status,
        200
    );
    // RFC 9111, section 4.3.2: it is from the day of its date then.
    let later = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3600));
    assert_eq!(site.get("/x", &[("if-modified-since", &later)]).await.head.status, 304);
}

#[tokio::test]
async fn words_of_requests() {
    let site = Site::new(minute(), everything, numbered(&[]));
    assert_eq!(site.get("/x", &[("cache-control", "only-if-cached")]).await.head.status, 504);
    assert_eq!(site.get("/x", &[("cache-control", "no-store")]).await.body, "1");
    assert_eq!(site.cache.stats().entries, 0, "5.2.1.5: nothing is kept");
    assert_eq!(site.get("/x", &[]).await.body, "2");
    site.clock.advance(Duration::from_secs(20));
    let table = [
        ("cache-control", "no-cache", "3", "miss"),
        ("pragma", "no-cache", "4", "miss"),
        ("cache-control", "max-age=0", "5", "miss"),
        ("cache-control", "max-age=19", "6", "miss"),
        ("cache-control", "max-age=20", "2", "hit"),
        ("cache-control", "no-store", "2", "hit"),
        ("cache-control", "only-if-cached", "2", "hit"),
        ("cache-control", "max-stale=5", "2", "hit"),
    ];
    for (name, value, body, from) in table {
        let read = site.get("/x", &[(name, value)]).await;
        assert_eq!((read.body.as_str(), read.from()), (body, Some(from)), "{name}: {value}");
        assert_eq!(site.get("/x", &[]).await.body, "2", "{value}: no client pushes out what is kept");
    }
}

#[tokio::test]
async fn other_questions_pass_by() {
    let site = Site::new(minute(), everything, numbered(&[]));
    site.get("/x", &[]).await;
    let fields = [
        ("range", "bytes=0-1"),
        ("if-range", "\"a\""),
        ("if-match", "\"a\""),
        ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("upgrade", "websocket"),
    ];
    for field in fields {
        assert_eq!(site.get("/x", &[field]).await.from(), None, "{field:?}");
    }
    for method in ["OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        // Elsewhere: some of them end what is kept of their address.
        assert_eq!(site.read(method, "/y", &[]).await.from(), None, "{method}");
    }
    let Ok(answer) = site.send(Request::get("/x").body(Full::from("part of the question?")).unwrap()).await;
    assert_eq!(read(answer).await.from(), None);
    assert_eq!(site.get("/x", &[]).await.body, "1");
}

#[tokio::test]
async fn timings_of_the_service_are_of_its_own_answers() {
    let site = Site::new(minute(), everything, numbered(&[("server-timing", "db;dur=5")]));
    let timings = |read: &Read| {
        let all = read.head.headers.get_all("server-timing").iter();
        all.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(timings(&site.get("/x", &[]).await), ["db;dur=5", "cache;desc=miss"]);
    assert_eq!(timings(&site.get("/x", &[]).await), ["cache;desc=hit"]);
}
