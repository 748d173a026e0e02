//! Tests of the addresses.

use super::*;

fn parsed(urls: &str) -> Vec<String> {
    let addresses = parse(urls, Duration::from_secs(10)).unwrap();
    addresses.iter().map(|Address(uri)| format!("{}@{uri:?}", uri.authority.userinfo.password)).collect()
}

fn hosts(urls: &str) -> Vec<String> {
    parse(urls, Duration::from_secs(10)).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn one_url_or_several_each_with_its_own_parts() {
    assert_eq!(hosts("amqp://localhost"), ["amqp://localhost:5672 /"]);
    assert_eq!(hosts("amqp://a/"), ["amqp://a:5672 /"]);
    assert_eq!(
        hosts("amqp://u:p@a:1/one,amqps://v:q@b/%2ftwo, amqp://c"),
        ["amqp://a:1 one", "amqps://b:5671 /two", "amqp://c:5672 /"]
    );
}

#[test]
fn a_comma_in_a_password_is_no_border() {
    let all = parsed("amqp://u:p,q@a,amqp://u:r@b");
    assert_eq!(all.len(), 2);
    assert!(all[0].starts_with("p,q@") && all[1].starts_with("r@"));
}

#[test]
fn options_are_the_urls_own_or_the_settings() {
    let addresses =
        parse("amqp://a?heartbeat=3&connection_timeout=250,amqp://b", Duration::from_secs(10)).unwrap();
    assert_eq!(addresses[0].0.query.heartbeat, Some(3));
    assert_eq!(addresses[1].0.query.heartbeat, Some(10));
    let settings = Duration::from_secs(7);
    assert_eq!(addresses[0].connect_timeout(settings), Duration::from_millis(250));
    assert_eq!(addresses[1].connect_timeout(settings), settings);
}

#[test]
fn what_is_no_url_is_refused_and_what_is_one_shows_no_password() {
    for bad in ["", "http://a", "amqp://a,,amqp://b", "amqp://a:port"] {
        assert!(parse(bad, Duration::from_secs(10)).is_err(), "{bad}");
    }
    let address = &parse("amqp://me:secret@a/v", Duration::from_secs(10)).unwrap()[0];
    assert!(!format!("{address} {address:?}").contains("secret"));
}
