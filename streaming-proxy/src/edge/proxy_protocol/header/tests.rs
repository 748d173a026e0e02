//! Tests of the parsers, from the specification's own words.

use proptest::prelude::*;

use super::*;

fn v1(line: &str) -> Option<Option<SocketAddr>> {
    version_1(line.as_bytes())
}

#[test]
fn lines_of_the_specification() {
    let client: SocketAddr = "192.168.0.1:56324".parse().unwrap();
    assert_eq!(v1("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), Some(Some(client)));
    assert_eq!(v1("PROXY UNKNOWN\r\n"), Some(None));
    let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
    assert_eq!(v1(longest), Some(None), "what follows is not looked at");
}

#[test]
fn what_is_no_line_is_refused() {
    for line in [
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 \r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 1\r\n",
        "PROXY  TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        "PROXY TCP4  192.168.0.1 192.168.0.11 56324 443\r\n",
        "PROXY TCP4 ::1 192.168.0.11 56324 443\r\n",
        "PROXY TCP4 192.168.0.1 ::1 56324 443\r\n",
        "PROXY TCP6 192.168.0.1 ::1 56324 443\r\n",
        "PROXY TCP4 192.168.00.1 192.168.0.11 56324 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 +80 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 080 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
        "PROXY TCP4 192.168.0.1 192.168.0.11 80 443x\r\n",
        "PROXY UDP4 192.168.0.1 192.168.0.11 80 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "proxy TCP4 192.168.0.1 192.168.0.11 80 443\r\n",
        "PROXY TCP4\r\n",
        "PROXY \r\n",
    ] {
        assert_eq!(v1(line), None, "{line:?}");
    }
}

#[test]
fn commands_and_families_of_version_2() {
    let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x1f, 0x90, 0, 80];
    let client: SocketAddr = "192.0.2.1:8080".parse().unwrap();
    assert_eq!(version_2([0x21, 0x11, 0, 12], &v4), Some(Some(client)));
    assert_eq!(version_2([0x20, 0x11, 0, 12], &v4), Some(None), "LOCAL: whatever it says");
    assert_eq!(version_2([0x20, 0x00, 0, 0], &[]), Some(None));
    assert_eq!(version_2([0x21, 0x11, 0, 11], &v4[..11]), None, "too short for its family");
    assert_eq!(version_2([0x21, 0x21, 0, 12], &v4), None);
    for (command, family) in
        [(0x11, 0x11), (0x22, 0x11), (0x01, 0x11), (0x21, 0x13), (0x21, 0x41), (0x21, 0x01)]
    {
        assert_eq!(version_2([command, family, 0, 12], &v4), None, "{command:x} {family:x}");
    }
    for family in [0x00, 0x12, 0x22, 0x31, 0x32] {
        assert_eq!(version_2([0x21, family, 0, 12], &v4), Some(None), "{family:x}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(source: SocketAddr, mut destination: SocketAddr) {
        destination.set_ip(if source.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        // A scope is of one machine.
        let wanted = Some(Some(SocketAddr::new(source.ip(), source.port())));
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!(
            "PROXY {family} {} {} {} {}\r\n", source.ip(), destination.ip(), source.port(), destination.port(),
        );
        prop_assert!(line.len() <= LINE);
        prop_assert_eq!(v1(&line), wanted);

        let mut bytes = Vec::new();
        for addr in [source, destination] {
            match addr.ip() {
                IpAddr::V4(ip) => bytes.extend(ip.octets()),
                IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
        }
        bytes.extend(source.port().to_be_bytes());
        bytes.extend(destination.port().to_be_bytes());
        let family = if source.is_ipv4() { 0x11 } else { 0x21 };
        prop_assert_eq!(version_2([0x21, family, 0, 0], &bytes), wanted);
        bytes.extend([0; 24]);
        prop_assert_eq!(version_2([0x21, family, 0, 0], &bytes), wanted, "whatever follows");
    }

    #[test]
    fn any_bytes_are_judged(
        head: [u8; HEAD],
        bytes in prop::collection::vec(any::<u8>(), 0..=LINE),
        line in "PROXY (TCP[46]|UNKNOWN)( [0-9a-f:.]{0,9}){0,5}\r?\n?",
    ) {
        let _ = version_1(&bytes);
        let _ = version_2(head, &bytes);
        if let Some(Some(client)) = v1(&line) {
            let (ip, port) = (client.ip().to_string(), client.port().to_string());
            prop_assert!(line.contains(&port) && (client.is_ipv6() || line.contains(&ip)));
        }
    }
}
