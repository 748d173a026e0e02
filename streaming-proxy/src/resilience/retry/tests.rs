//! Tests of what goes out again.

use http::Version;

use super::*;

fn retry<'a>(method: Method, body: &str, retries: &'a Retries) -> Retry<'a> {
    let upload =
        if body.is_empty() { Upload::empty() } else { Upload::new(body.to_owned(), Version::HTTP_11) };
    let mut request = Request::new(upload);
    *request.method_mut() = method;
    Retry::new(&request, retries, 4)
}

#[test]
fn only_what_was_not_sent_goes_elsewhere_and_not_for_ever() {
    let retries = Retries::default();
    let get = retry(Method::GET, "", &retries);
    assert_eq!(get.elsewhere(ErrorKind::ResponseTimeout, Sent::Fully), None);
    assert_eq!(get.elsewhere(ErrorKind::BadResponse, Sent::Fully), None);
    let post = retry(Method::POST, "body", &retries);
    assert_eq!(post.elsewhere(ErrorKind::Closed, Sent::Partly), None);
    let mut post = retry(Method::POST, "body", &retries);
    for _ in 0..2 {
        assert_eq!(post.elsewhere(ErrorKind::ConnectFailed, Sent::Not), Some(Again::Unsent));
        post.take();
    }
    assert_eq!(post.elsewhere(ErrorKind::ConnectFailed, Sent::Not), None, "it was tried three times");
}

#[test]
fn what_may_be_done_twice_goes_elsewhere_when_a_connection_is_closed() {
    let retries = Retries::default();
    for (method, body, again) in [
        (Method::GET, "", true),
        (Method::PUT, "body", true),
        (Method::DELETE, "", true),
        (Method::POST, "", false),
        (Method::PATCH, "body", false),
    ] {
        let retry = retry(method.clone(), body, &retries);
        assert_eq!(retry.elsewhere(ErrorKind::Closed, Sent::Fully).is_some(), again, "{method}");
    }
}

#[test]
fn the_race_of_a_kept_connection_is_run_again() {
    let retries = Retries::default();
    for (method, body, sent, again) in [
        (Method::POST, "body", Sent::Not, true),
        (Method::POST, "body", Sent::Partly, false),
        (Method::POST, "", Sent::Fully, false),
        (Method::PATCH, "", Sent::Fully, false),
        (Method::PUT, "body", Sent::Fully, true),
        (Method::PUT, "", Sent::Fully, true),
        (Method::GET, "", Sent::Fully, true),
    ] {
        let retry = retry(method.clone(), body, &retries);
        assert_eq!(retry.on_a_new_connection(ErrorKind::Closed, sent), again, "{method} {body} {sent:?}");
        assert!(!retry.on_a_new_connection(ErrorKind::ResponseTimeout, sent));
        assert!(!retry.on_a_new_connection(ErrorKind::BadResponse, sent));
    }
}

#[test]
fn an_old_connection_is_for_what_can_surely_be_repeated() {
    let retries = Retries::default();
    assert!(retry(Method::PUT, "four", &retries).is_repeatable());
    assert!(!retry(Method::PUT, "more than four", &retries).is_repeatable());
    assert!(!retry(Method::POST, "", &retries).is_repeatable());
}

#[test]
fn answers_on_the_list_of_what_may_be_done_twice() {
    let mut retries = Retries::default();
    assert!(!retry(Method::GET, "", &retries).after(StatusCode::SERVICE_UNAVAILABLE), "none by default");
    retries.statuses = vec![StatusCode::SERVICE_UNAVAILABLE];
    let mut get = retry(Method::GET, "", &retries);
    assert!(get.after(StatusCode::SERVICE_UNAVAILABLE));
    assert!(!get.after(StatusCode::BAD_GATEWAY));
    get.take();
    get.take();
    assert!(!get.after(StatusCode::SERVICE_UNAVAILABLE));
    assert!(!retry(Method::POST, "", &retries).after(StatusCode::SERVICE_UNAVAILABLE));
}
