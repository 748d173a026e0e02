//! Whose answer it is (pitfall 16: the answer of one user given to another).

use super::*;

fn by_user(request: &Parts) -> Option<Scope> {
    let user = request.headers.get("x-user").map(|user| user.to_str().unwrap().to_owned());
    Some(user.map_or_else(Scope::public, Scope::user))
}

/// Says who asked.
async fn who(request: Request<Full<Bytes>>) -> Result<Response<Body>, Infallible> {
    let field = |name| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
    let text = format!("{} {} {}", field("x-user"), field("authorization"), field("cookie"));
    Ok(Response::new(full(text)))
}

#[tokio::test]
async fn two_users_never_share() {
    let site = Site::new(minute(), by_user, who);
    for turn in ["miss", "hit"] {
        for user in ["ada", "bob", "ada:x", "Ada"] {
            let token = format!("Bearer {user}");
            let read =
                site.get("/me", &[("x-user", user), ("authorization", &token), ("cookie", "a=b")]).await;
            assert_eq!(read.from(), Some(turn));
            assert_eq!(read.body, format!("{user} {token} a=b"));
        }
    }
    assert_eq!(site.get("/me", &[]).await.body, "- - -", "nobody is not somebody");
    // One without a name is nobody, and not all of them.
    for turn in 0..2 {
        assert_eq!(site.get("/me", &[("x-user", ""), ("cookie", "a=b")]).await.from(), None, "{turn}");
    }
}

#[tokio::test]
async fn roles_users_and_the_public_do_not_meet() {
    let rule: fn(&Parts) -> Option<Scope> = |request| {
        Some(match request.headers.get("x-scope").and_then(|scope| scope.to_str().ok())? {
            "role" => Scope::role("x"),
            "user" => Scope::user("x"),
            _ => Scope::public(),
        })
    };
    let site = Site::new(minute(), rule, numbered(&[]));
    for (scope, body) in [("role", "1"), ("user", "2"), ("public", "3"), ("role", "1"), ("user", "2")] {
        assert_eq!(site.get("/x", &[("x-scope", scope)]).await.body, body);
    }
}

#[tokio::test]
async fn credentials_pass_by_what_is_for_all() {
    let site = Site::new(minute(), everything, who);
    site.get("/x", &[]).await;
    for field in [("authorization", "Bearer ada"), ("cookie", "session=ada")] {
        let read = site.get("/x", &[field]).await;
        assert_eq!(read.from(), None, "{field:?}");
        assert!(read.body.contains(field.1));
    }
    assert_eq!(site.get("/x", &[]).await.body, "- - -");
    assert_eq!(site.asked(), 3);
}

#[tokio::test]
async fn without_credentials_the_service_does_not_see_them() {
    let site = Site::new(minute(), |_| Some(Scope::public().without_credentials()), who);
    for (fields, from) in [
        (&[("authorization", "Bearer ada"), ("cookie", "session=ada")][..], "miss"),
        (&[], "hit"),
        (&[("cookie", "session=bob")], "hit"),
        (&[("cookie", "session=bob"), ("cache-control", "no-cache")], "miss"),
        // What passes by for another reason, too.
        (&[("cookie", "session=bob"), ("range", "bytes=0-")], ""),
        (&[("authorization", "Bearer bob"), ("x-http-method-override", "PUT")], ""),
    ] {
        let read = site.get("/x", fields).await;
        assert_eq!((read.body.as_str(), read.from().unwrap_or_default()), ("- - -", from));
    }
}

#[tokio::test]
async fn what_is_for_one_reaches_no_other_who_waits_with_him() {
    let tables: [&'static [(&'static str, &'static str)]; 6] = [
        &[("set-cookie", "session=ada")],
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "no-store")],
        &[("vary", "*")],
        &[(":status", "403")],
        &[(":status", "500"), ("set-cookie", "session=ada")],
    ];
    for fields in tables {
        let service = numbered(fields);
        let site = Site::new(minute(), everything, move |request| {
            let answer = service(request);
            async move {
                // All of them are there before the first is answered.
                tokio::task::yield_now().await;
                answer.await
            }
        });
        let reads = futures_util::future::join_all((0..5).map(|_| site.get("/x", &[]))).await;
        let mut bodies: Vec<_> = reads.iter().map(|read| read.body.clone()).collect();
        bodies.sort();
        assert_eq!(bodies, ["1", "2", "3", "4", "5"], "{fields:?}");
        assert_eq!(site.get("/x", &[]).await.body, "6", "{fields:?}: nothing is kept");
    }
}

#[tokio::test]
async fn private_is_kept_for_its_user_only() {
    let site = Site::new(minute(), by_user, numbered(&[("cache-control", "private, max-age=60")]));
    for (user, body) in [("ada", "1"), ("bob", "2"), ("ada", "1"), ("bob", "2")] {
        assert_eq!(site.get("/x", &[("x-user", user)]).await.body, body);
    }
}

#[tokio::test]
async fn secrets_are_not_readable_in_keys() {
    // A user's scope, and an answer that depends on the cookie: which is part of the key, and is none to read.
    let rule: fn(&Parts) -> Option<Scope> = |_| Some(Scope::user("ada"));
    let site = Site::new(minute(), rule, async |request: Request<Full<Bytes>>| {
        let cookie = request.headers()["cookie"].to_str().unwrap().to_owned();
        Ok(Response::builder().header("vary", "cookie").body(full(cookie)).unwrap())
    });
    for _ in 0..3 {
        for cookie in ["theme=dark", "theme=light"] {
            assert_eq!(site.get("/x", &[("cookie", cookie)]).await.body, cookie);
        }
    }
    assert_eq!(site.asked(), 3);
    assert!(!format!("{:?}", site.cache).contains("theme"));
}
