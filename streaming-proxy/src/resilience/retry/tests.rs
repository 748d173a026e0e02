//! Tests of what goes out again.

use super::*;

fn retry(method: Method, body: bool, attempts: usize) -> Retry {
    let upload = if body { Upload::new("body".to_owned()) } else { Upload::empty() };
    let mut request = Request::new(upload);
    *request.method_mut() = method;
    Retry::new(&request, attempts)
}

#[test]
fn only_what_was_not_sent_goes_elsewhere_and_not_for_ever() {
    let mut get = retry(Method::GET, false, 3);
    assert!(!get.elsewhere(Sent::Fully));
    let mut post = retry(Method::POST, true, 3);
    assert!(!post.elsewhere(Sent::Partly));
    let mut post = retry(Method::POST, true, 3);
    assert!(post.elsewhere(Sent::Not));
    assert!(post.elsewhere(Sent::Not));
    assert!(!post.elsewhere(Sent::Not), "three addresses were asked");
}

#[test]
fn the_race_of_a_kept_connection_is_run_again() {
    for (method, body, sent, again) in [
        (Method::POST, true, Sent::Not, true),
        (Method::POST, true, Sent::Partly, false),
        (Method::POST, false, Sent::Fully, false),
        (Method::PATCH, false, Sent::Fully, false),
        (Method::PUT, true, Sent::Fully, false),
        (Method::PUT, false, Sent::Fully, true),
        (Method::GET, false, Sent::Fully, true),
    ] {
        let retry = retry(method.clone(), body, 3);
        assert_eq!(retry.on_a_new_connection(ErrorKind::Closed, sent), again, "{method} {body} {sent:?}");
        assert!(!retry.on_a_new_connection(ErrorKind::ResponseTimeout, sent));
        assert!(!retry.on_a_new_connection(ErrorKind::BadResponse, sent));
    }
}
