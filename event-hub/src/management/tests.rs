//! Tests of the management's URL.

use super::*;

#[test]
fn a_url_prints_without_its_password() {
    let url = ManagementUrl::parse("https://me:se%2Fcret@host.example:15671/behind/").unwrap();
    assert_eq!(url.to_string(), "https://me@host.example:15671/behind");
    assert!(!format!("{url:?}").contains("cret"));
    assert_eq!(url.authorization, format!("Basic {}", STANDARD.encode("me:se/cret")));
}

#[test]
fn ports_and_users_have_defaults() {
    let url = ManagementUrl::parse("http://[::1]").unwrap();
    assert_eq!((url.host.as_str(), url.port, url.user.as_str()), ("::1", 80, "guest"));
    assert_eq!(ManagementUrl::parse("https://h").unwrap().port, 443);
}

#[test]
fn what_is_none_is_refused_without_being_repeated() {
    for bad in ["", "amqp://me:secret@host", "me:secret@host", "http://"] {
        let error = ManagementUrl::parse(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}
