//! Whether a proxy does the header work that all have to do.

use std::io::Write;

use anyhow::ensure;

use super::wire::Opener;
use super::{Target, answer, http2, request};

/// Sends one request to the path that answers with what arrived.
///
/// # Errors
///
/// If something of the work is not done; all of that.
pub(super) fn run(target: &Target) -> anyhow::Result<()> {
    let arrived = if target.http2 {
        http2::body(target, "/echo")?
    } else {
        let mut stream = Opener::new(target)?.open()?;
        stream.write_all(request::get_with_hop_fields("/echo").as_bytes())?;
        answer::whole(&mut stream)?
    };
    let arrived = String::from_utf8_lossy(&arrived).into_owned();
    let wrong = findings(&arrived, if target.tls.is_some() { "https" } else { "http" });
    ensure!(wrong.is_empty(), "{}; what arrived:\n{arrived}", wrong.join(", "));
    Ok(())
}

/// What is wrong with the head that arrived.
fn findings(arrived: &str, proto: &str) -> Vec<String> {
    let of = |name: &str| {
        let mut values = arrived.lines().filter_map(|line| line.split_once(':'));
        values.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    };
    let mut wrong = Vec::new();
    for (name, value) in [
        ("host", request::HOST),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-proto", proto),
        ("x-forwarded-host", request::HOST),
    ] {
        if of(name) != Some(value) {
            wrong.push(format!("{name} is {:?} and not {value:?}", of(name).unwrap_or_default()));
        }
    }
    // `TE: trailers` may be said anew, by who reads them.
    if of("keep-alive").is_some() {
        wrong.push("keep-alive is passed on".to_owned());
    }
    if of("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
        wrong.push("the origin's connections are not kept".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_of_the_work_is_looked_at() {
        let good = "GET /echo HTTP/1.1\r\nHost: shop.example\r\nx-forwarded-for: 127.0.0.1\r\n\
             X-Forwarded-Proto: http\r\nx-forwarded-host: shop.example\r\n\r\n";
        assert!(findings(good, "http").is_empty());
        assert_eq!(findings(good, "https").len(), 1);
        assert_eq!(findings(&good.replace("shop.example", "127.0.0.1:9000"), "http").len(), 2);
        assert_eq!(findings(&request::get_with_hop_fields("/echo"), "http").len(), 4);
    }
}
