//! Tests of what a kind becomes.

use super::*;

#[test]
fn each_kind_has_its_status_its_code_and_its_proxy_status() {
    for (kind, status, code, said) in [
        (ErrorKind::BadRequest, 400, "BAD_REQUEST", "http_request_error"),
        (ErrorKind::ClientBody, 400, "BAD_REQUEST", "http_request_error"),
        (ErrorKind::NoRoute, 404, "NOT_FOUND", "destination_not_found"),
        (ErrorKind::MethodRefused, 405, "METHOD_NOT_ALLOWED", "http_request_denied"),
        (ErrorKind::ClientTimeout, 408, "REQUEST_TIMEOUT", "http_request_error"),
        (ErrorKind::BodyTooLarge, 413, "BODY_TOO_LARGE", "http_request_error"),
        (ErrorKind::UriTooLong, 414, "URI_TOO_LONG", "http_request_error"),
        (ErrorKind::Loop, 508, "LOOP_DETECTED", "proxy_loop_detected"),
        (ErrorKind::Misdirected, 421, "MISDIRECTED", "http_request_error"),
        (ErrorKind::HeadTooLarge, 431, "HEAD_TOO_LARGE", "http_request_error"),
        (ErrorKind::ClientGone, 499, "CLIENT_GONE", "http_request_error"),
        (ErrorKind::BodyTaken, 500, "INTERNAL", "proxy_internal_error"),
        (ErrorKind::Config, 500, "INTERNAL", "proxy_configuration_error"),
        (ErrorKind::BadResponse, 502, "BAD_GATEWAY", "http_protocol_error"),
        (ErrorKind::Closed, 502, "BAD_GATEWAY", "connection_terminated"),
        (ErrorKind::ConnectFailed, 502, "BAD_GATEWAY", "destination_unavailable"),
        (ErrorKind::Truncated, 502, "BAD_GATEWAY", "http_response_incomplete"),
        (ErrorKind::Overloaded, 503, "UNAVAILABLE", "connection_limit_reached"),
        (ErrorKind::ConnectTimeout, 504, "GATEWAY_TIMEOUT", "connection_timeout"),
        (ErrorKind::ResponseTimeout, 504, "GATEWAY_TIMEOUT", "connection_read_timeout"),
        (ErrorKind::TotalTimeout, 504, "GATEWAY_TIMEOUT", "http_response_timeout"),
    ] {
        let error = ProxyError::new(kind);
        assert_eq!(
            (error.status().as_u16(), error.code(), error.proxy_status()),
            (status, code, said),
            "{kind}"
        );
    }
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    assert_eq!(ProxyError::new(ErrorKind::ConnectFailed).with(refused).proxy_status(), "connection_refused");
}
