//! Whatever stands in a table of routes: it is read the same each time, what is wrong has a line, and what is right is
//! read again from what is written of it, and routes what it says.
#![no_main]

use http::{HeaderMap, Method};
use libfuzzer_sys::fuzz_target;
use tramline_streaming_proxy::Routes;
use tramline_streaming_proxy::path;
use tramline_streaming_proxy::route::PathMatch;
use tramline_streaming_proxy::route::config::TableConfig;

fuzz_target!(|text: &str| {
    let resolve = |name: &str| (name == "KNOWN").then(|| "127.0.0.1:1, 127.0.0.1:2".to_owned());
    let routes = Routes::from_toml(text, resolve);
    let table = TableConfig::from_toml(text);
    if let Err(error) = &routes {
        assert!(!error.faults().is_empty() && !error.to_string().is_empty(), "nothing is wrong: {text:?}");
        let lines = 1 + text.bytes().filter(|byte| *byte == b'\n').count();
        for fault in error.faults() {
            assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault}: {text:?}");
            assert!(!fault.what.is_empty(), "{fault:?}: {text:?}");
        }
        assert_eq!(
            Routes::from_toml(text, resolve).err().as_ref(),
            Some(error),
            "another time, other faults"
        );
    }
    let Ok(table) = table else {
        assert!(routes.is_err(), "no table, but routes: {text:?}");
        return;
    };
    let written = table.to_toml();
    assert_eq!(TableConfig::from_toml(&written).as_ref(), Ok(&table), "written as {written:?}");
    let built = table.build(resolve);
    assert_eq!(routes.is_ok(), built.is_ok(), "{:?} and {:?}: {text:?}", routes.err(), built.err());
    let Ok(routes) = routes else { return };

    assert_eq!(routes.iter().count(), table.routes.len());
    for route in routes.iter().filter(|route| route.host.is_none() && route.headers.is_empty()) {
        let PathMatch::Exact(exact) = &route.path else { continue };
        let path = path::normal(exact).expect("a path in a table is normal");
        let method = route.methods.first().unwrap_or(&Method::GET);
        let found = routes.find(None, &path, method, &HeaderMap::new());
        assert!(found.is_ok() || path.has_encoded_slash(), "{route} is not found: {text:?}");
    }
});
