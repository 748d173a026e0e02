//! Tests of [`Names`], with webpki's own judgement as the measure.

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;

use super::*;

fn certificate(names: &[&str]) -> CertificateDer<'static> {
    let params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

#[test]
fn a_certificate_without_hosts_is_refused() {
    assert!(Names::of(&certificate(&["192.0.2.1"])).is_err());
    assert!(Names::of(&CertificateDer::from(vec![1, 2, 3])).is_err());
}

#[test]
fn case_and_the_roots_dot_do_not_matter() {
    let names = Names::of(&certificate(&["Shop.Example", "*.Api.Example"])).unwrap();
    for host in ["shop.example", "SHOP.example.", "a.api.example", "A.API.EXAMPLE."] {
        assert!(names.contains(host), "{host}");
    }
    for host in ["", ".", "*.api.example", "api.example", "a.b.api.example", ".api.example", "shop.example.."]
    {
        assert!(!names.contains(host), "{host}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hosts_are_those_that_clients_accept(
        san in prop::collection::vec("(\\*\\.)?[abAB]{1,2}(\\.[ab]{1,2}){1,2}", 1..4),
        hosts in prop::collection::vec("[abAB]{1,2}(\\.[ab]{1,2}){0,3}", 16),
    ) {
        let der = certificate(&san.iter().map(String::as_str).collect::<Vec<_>>());
        let names = Names::of(&der).unwrap();
        let parsed = ParsedCertificate::try_from(&der).unwrap();
        for host in hosts {
            let accepted = verify_server_name(&parsed, &ServerName::try_from(host.as_str()).unwrap()).is_ok();
            prop_assert_eq!(names.contains(&host), accepted, "{} in {:?}", host, names);
        }
    }
}
