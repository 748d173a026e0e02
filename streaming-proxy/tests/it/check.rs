//! The command `tramline-routes`, as a process.

use std::process::{Command, Output};

fn run(table: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.toml");
    std::fs::write(&path, table).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tramline-routes"));
    let Output { status, stdout, stderr } =
        command.arg("--check").arg(&path).args(arguments).env("SHOP_URL", "shop:80").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

const TABLE: &str = r#"
[upstreams.users]
from = "USERS_URL"
balance = "cookie:sid"
adaptive_limit = true
health_check = { path = "/readyz" }
[upstreams.shop]
from = "SHOP_URL"
[[routes]]
pattern = "/users/{id}/{*rest}"
template = "/u/{id}/{*rest}"
upstream = "users"
timeouts = { response_header = "5s" }
retry = { attempts = 2, statuses = [502, 503] }
priority = "critical"
[[routes]]
host = "*.shop.example"
prefix = "/"
methods = ["GET"]
headers = { x-beta = true }
upstream = "shop"
"#;

#[test]
fn it_shows_what_each_path_would_do() {
    let users = "USERS_URL=10.0.0.1:80, 10.0.0.2:80";
    let (code, out, err) = run(TABLE, &["--addresses", users, "/users/%7e1/a?q", "/else", "/users/../x"]);
    let wanted = "GET /users/%7e1/a?q
  route     1: /users/{id}/{*rest}
  upstream  users (10.0.0.1:80, 10.0.0.2:80)
  target    /u/~1/a?q
  timeouts  response_header 5s, response_idle 60s, request_idle 60s, total off
  retries   attempts 2, on 502, 503; priority critical
  balance   cookie:sid, adaptive_limit, health_check /readyz every 5s
GET /else
  answer    404 Not Found: no route for this path
GET /users/../x
  answer    400 Bad Request: the request cannot be passed on: a dot segment in the path
";
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), wanted, ""));

    let shop = ["--addresses", users, "--header", "X-Beta: 1", "http://a.shop.example:8080/x"];
    assert!(run(TABLE, &shop).1.contains("  upstream  shop (shop:80)\n  target    /x\n"));
    let hosted =
        ["--addresses", users, "--header", "X-Beta: 1", "--host", "a.shop.example", "--method", "PUT", "/x"];
    let (code, out, _) = run(TABLE, &hosted);
    assert!(
        out.contains("  answer    405 Method Not Allowed") && out.contains("  allow     GET, HEAD\n"),
        "{out}"
    );
    assert_eq!(code, Some(0));
    let (_, out, _) = run(TABLE, &["--addresses", users, "--method", "TRACE", "/users/1"]);
    assert_eq!(out, "TRACE /users/1\n  answer    405 Method Not Allowed: this method is not passed on\n");
    let (_, out, _) = run(TABLE, &["--addresses", users]);
    assert!(out.starts_with("1: /users/{id}/{*rest} -> users (10.0.0.1:80, 10.0.0.2:80)\n2: "), "{out}");
}

#[test]
fn a_bad_table_or_call_ends_with_its_code() {
    let (code, out, err) = run(TABLE, &["/users/1"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "line 2: upstream users: no addresses for `USERS_URL`\n");
    assert_eq!(run(TABLE, &["--nonsense"]).0, Some(64));
    assert_eq!(run(TABLE, &["--method", "G T"]).0, Some(64));
}
