//! The request that a client sends: what a browser's script sends to an API, in eight fields.

/// The host that the client asks for.
pub(super) const HOST: &str = "shop.example";

const FIELDS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Cookie: session=4f9d1c7ab2e84d0c9b6e5a3f; theme=dark\r\n\
    X-Request-Id: 0198f5d2-7c1e-7b3a-9d4f-2a6c8e0b1d3f\r\n\
    Connection: keep-alive\r\n";

/// A request without a body.
pub(super) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{FIELDS}\r\n")
}

/// The fields of a request but `Host`, for a version that has none of one hop: `TE` is the one that it has.
pub(super) fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    let fields = FIELDS.split("\r\n").filter_map(|line| line.split_once(": "));
    fields.filter(|(name, _)| *name != "Connection").chain([("TE", "trailers")])
}

/// The same with fields that concern one hop alone.
pub(super) fn get_with_hop_fields(path: &str) -> String {
    let get = get(path);
    let head = get.trim_end();
    format!("{head}\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\r\n")
}

/// The head of an upload.
pub(super) fn post(path: &str, bytes: u64) -> String {
    let get = get(path);
    let head = get.trim_end().strip_prefix("GET").unwrap_or_default();
    format!("POST{head}\r\nContent-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_with_its_only_empty_line() {
        for request in [get("/a"), get_with_hop_fields("/a"), post("/a", 7)] {
            assert_eq!(request.find("\r\n\r\n"), Some(request.len() - 4), "{request}");
            assert!(request.contains(" /a HTTP/1.1\r\nHost: shop.example\r\n"), "{request}");
        }
        assert!(post("/a", 7).starts_with("POST /a "));
        assert_eq!(fields().count(), 7);
    }
}
