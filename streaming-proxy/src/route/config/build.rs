//! Routes out of a table, or all that is wrong with it.

use std::collections::BTreeMap;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::config::{Answers, CookieDomain, HealthCheck, Retries, Timeouts, UpstreamConfig};
use crate::route::config::read::{Entry, Text};
use crate::route::config::{
    AnswersEntry, Fault, HeaderEntry, Limit, RetryEntry, RouteEntry, TableConfig, TableError, Time,
    TimeoutsEntry, UpstreamEntry,
};
use crate::route::{HeaderMatch, PathMatch, Rewrite, Route, Routes};
use crate::upstream::Upstream;

// === impl TableConfig ===

impl TableConfig {
    /// The routes of this table, with upstreams of which nothing is connected yet.
    ///
    /// `resolve` knows the addresses, separated by commas, for each name in `from`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn build(&self, resolve: impl FnMut(&str) -> Option<String>) -> Result<Routes, TableError> {
        let mut text = Text::default();
        for (name, entry) in &self.upstreams {
            text.upstreams.insert(name.clone(), Entry { line: None, value: Some(entry.clone()) });
        }
        text.routes =
            self.routes.iter().map(|entry| Entry { line: None, value: Some(entry.clone()) }).collect();
        build(text, resolve)
    }
}

pub(super) fn build(
    text: Text,
    mut resolve: impl FnMut(&str) -> Option<String>,
) -> Result<Routes, TableError> {
    let Text { upstreams: entries, routes, mut faults } = text;
    let mut upstreams: BTreeMap<&str, Option<Upstream>> = BTreeMap::new();
    for (name, entry) in &entries {
        let mut note =
            |what| faults.push(Fault { line: entry.line, entry: format!("upstream {name}"), what });
        let upstream = entry.value.as_ref().and_then(|entry| upstream(name, entry, &mut resolve, &mut note));
        upstreams.insert(name, upstream);
    }
    // Checks of a route whose upstream is at fault need one all the same, which nobody should see in metrics.
    let stand_in = metrics::with_local_recorder(&metrics::NoopRecorder, || {
        Upstream::new("none", ["localhost"], UpstreamConfig::default())
    });
    let (mut built, mut places) = (Vec::new(), Vec::new());
    for (index, entry) in routes.iter().enumerate() {
        let mut note =
            |what| faults.push(Fault { line: entry.line, entry: format!("route {}", index + 1), what });
        let Some(value) = &entry.value else { continue };
        let upstream = match upstreams.get(value.upstream.as_str()) {
            Some(upstream) => upstream.as_ref(),
            None if value.upstream.is_empty() => {
                note("no upstream".to_owned());
                None
            }
            None => {
                note(format!("there is no upstream `{}`", value.upstream));
                None
            }
        };
        let upstream = upstream.or(stand_in.as_ref().ok());
        if let Some(upstream) = upstream.cloned()
            && let Some(route) = route(value, upstream, &mut note)
        {
            built.push(route);
            places.push((index, entry.line));
        }
    }
    if routes.is_empty() && faults.is_empty() {
        // An empty file is one that is being written, or a mistake.
        faults.push(Fault { line: None, entry: String::new(), what: "a table without routes".to_owned() });
    }
    let checked = Routes::checked(built).map_err(|found| {
        let faults = found.into_iter().filter_map(|(place, what)| {
            let (index, line) = *places.get(place)?;
            Some(Fault { line, entry: format!("route {}", index + 1), what: what.to_owned() })
        });
        faults.collect::<Vec<_>>()
    });
    match checked {
        Ok(routes) if faults.is_empty() => return Ok(routes),
        Ok(_) => {}
        Err(found) => faults.extend(found),
    }
    faults.sort();
    Err(TableError { faults })
}

fn upstream(
    name: &str,
    entry: &UpstreamEntry,
    resolve: &mut impl FnMut(&str) -> Option<String>,
    note: &mut impl FnMut(String),
) -> Option<Upstream> {
    let mut config = UpstreamConfig::default();
    let time = |to: &mut std::time::Duration, from: Option<Time>| *to = from.map_or(*to, |time| time.0);
    let count = |to: &mut usize, from: Option<usize>| *to = from.unwrap_or(*to);
    config.version = entry.version.unwrap_or(config.version);
    time(&mut config.connect_timeout, entry.connect_timeout);
    time(&mut config.resolve_every, entry.resolve_every);
    time(&mut config.idle_timeout, entry.idle_timeout);
    time(&mut config.unsafe_reuse_within, entry.unsafe_reuse_within);
    time(&mut config.max_wait, entry.max_wait);
    time(&mut config.avoid, entry.avoid);
    time(&mut config.avoid_max, entry.avoid_max);
    count(&mut config.max_idle, entry.max_idle);
    count(&mut config.max_in_flight, entry.max_in_flight);
    count(&mut config.max_waiting, entry.max_waiting);
    count(&mut config.max_tunnels, entry.max_tunnels);
    config.failures = entry.failures.unwrap_or(config.failures);
    resilience(&mut config, entry, note);
    for (what, zero) in [("failures", config.failures == 0), ("max_in_flight", config.max_in_flight == 0)] {
        if zero {
            note(format!("`{what}` must be at least 1"));
        }
    }
    let addresses = match (&entry.from, entry.addresses.as_slice()) {
        (Some(_), [_, ..]) => {
            note("both `addresses` and `from`".to_owned());
            return None;
        }
        (None, []) => {
            note("neither `addresses` nor `from`".to_owned());
            return None;
        }
        (None, addresses) => addresses.to_vec(),
        (Some(from), []) => {
            let list = resolve(from).unwrap_or_default();
            list.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect()
        }
    };
    if addresses.is_empty() {
        note(format!("no addresses for `{}`", entry.from.as_deref().unwrap_or_default()));
        return None;
    }
    let bad = metrics::with_local_recorder(&metrics::NoopRecorder, || {
        let fault =
            |address: &String| Some((address.clone(), Upstream::new(name, [address], config.clone()).err()?));
        addresses.iter().filter_map(fault).collect::<Vec<_>>()
    });
    for (address, fault) in &bad {
        note(format!("`{address}`: {}", fault.detail().unwrap_or("an upstream's address")));
    }
    if bad.is_empty() { Upstream::new(name, addresses, config).ok() } else { None }
}

fn resilience(config: &mut UpstreamConfig, entry: &UpstreamEntry, note: &mut impl FnMut(String)) {
    match entry.balance.as_deref().map(str::parse).transpose() {
        Ok(balance) => config.balance = balance.unwrap_or_default(),
        Err(fault) => note(fault),
    }
    config.server_errors = entry.server_errors;
    config.max_ejected = entry.max_ejected.unwrap_or(config.max_ejected);
    config.fail_fast = entry.fail_fast.unwrap_or(config.fail_fast);
    config.slow_start = entry.slow_start.map(|time| time.0);
    config.adaptive_limit = entry.adaptive_limit.unwrap_or(config.adaptive_limit);
    if let Some(budget) = &entry.retry_budget {
        config.retry_budget.percent = budget.percent.unwrap_or(config.retry_budget.percent);
        config.retry_budget.per_second = budget.per_second.unwrap_or(config.retry_budget.per_second);
    }
    let mut counts = vec![("server_errors", config.server_errors)];
    if let Some(entry) = &entry.health_check {
        let mut check = HealthCheck::new(&entry.path);
        if !entry.path.starts_with('/') || entry.path.parse::<PathAndQuery>().is_err() {
            note(format!("`{}` is no path to ask for", entry.path));
        }
        check.interval = entry.interval.map_or(check.interval, |time| time.0);
        check.timeout = entry.timeout.map_or(check.timeout, |time| time.0);
        check.unhealthy = entry.unhealthy.unwrap_or(check.unhealthy);
        check.healthy = entry.healthy.unwrap_or(check.healthy);
        counts.extend([("unhealthy", Some(check.unhealthy)), ("healthy", Some(check.healthy))]);
        config.health_check = Some(check);
    }
    for (what, count) in counts {
        if count == Some(0) {
            note(format!("`{what}` must be at least 1"));
        }
    }
    for (what, percent) in [("max_ejected", config.max_ejected), ("percent", config.retry_budget.percent)] {
        if percent > 100 {
            note(format!("`{what}` is of a hundred"));
        }
    }
}

fn retries(entry: &RetryEntry, note: &mut impl FnMut(String)) -> Retries {
    let mut retries = Retries::default();
    retries.attempts = entry.attempts.unwrap_or(retries.attempts);
    if retries.attempts == 0 {
        note("`attempts` must be at least 1".to_owned());
    }
    for status in &entry.statuses {
        match StatusCode::from_u16(*status) {
            Ok(status) if status.is_server_error() => retries.statuses.push(status),
            _ => note(format!("{status} is no status after which to ask again: those are of 5xx")),
        }
    }
    retries
}

fn route(entry: &RouteEntry, upstream: Upstream, note: &mut impl FnMut(String)) -> Option<Route> {
    let mut sound = true;
    let mut note = |what: String| {
        sound = false;
        note(what);
    };
    let path = match (&entry.path, &entry.prefix, &entry.pattern) {
        (Some(path), None, None) => PathMatch::Exact(path.clone()),
        (None, Some(prefix), None) => PathMatch::Prefix(prefix.clone()),
        (None, None, Some(pattern)) => PathMatch::Pattern(pattern.clone()),
        _ => {
            note("exactly one of `path`, `prefix` and `pattern`".to_owned());
            PathMatch::Prefix("/".to_owned())
        }
    };
    let mut route = Route::with_path(path, upstream);
    route.name.clone_from(&entry.name);
    route.host.clone_from(&entry.host);
    route.encoded_slashes = entry.encoded_slashes;
    for method in &entry.methods {
        // Methods have case, and none in use has small letters.
        match Method::from_bytes(method.as_bytes()) {
            Ok(known) if !method.bytes().any(|byte| byte.is_ascii_lowercase()) => route.methods.push(known),
            _ => note(format!("`{method}` is no method")),
        }
    }
    for (name, entry) in &entry.headers {
        let value = match entry {
            HeaderEntry::Present(true) => Ok(None),
            HeaderEntry::Present(false) => Err("is `true` or a text"),
            HeaderEntry::Equal(text) => {
                HeaderValue::from_str(text).map(Some).map_err(|_| "has no value that a field can have")
            }
        };
        match (HeaderName::from_bytes(name.as_bytes()), value) {
            (Ok(name), Ok(None)) => route.headers.push(HeaderMatch::Present(name)),
            (Ok(name), Ok(Some(value))) => route.headers.push(HeaderMatch::Equal(name, value)),
            (Ok(_), Err(fault)) => note(format!("the field `{name}` {fault}")),
            (Err(_), _) => note(format!("`{name}` is no field's name")),
        }
    }
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    route.rewrite = match (&entry.strip, &entry.add, &entry.template) {
        (None, None, None) => Rewrite::Keep,
        (None, None, Some(template)) => Rewrite::template(template),
        (strip, add, None) => Rewrite::replace(text(strip), text(add)),
        _ => {
            note("`template` is the whole path, without `strip` and `add`".to_owned());
            Rewrite::Keep
        }
    };
    route.timeouts = timeouts(&entry.timeouts);
    route.answers = answers(&entry.answers, &mut note);
    route.priority = entry.priority.unwrap_or_default();
    if let Some(entry) = &entry.retry {
        route.retries = retries(entry, &mut note);
    }
    sound.then_some(route)
}

fn timeouts(entry: &TimeoutsEntry) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let limit = |to: &mut Option<std::time::Duration>, from: Option<Limit>| {
        if let Some(Limit(limit)) = from {
            *to = limit;
        }
    };
    limit(&mut timeouts.response_header, entry.response_header);
    limit(&mut timeouts.response_idle, entry.response_idle);
    limit(&mut timeouts.request_idle, entry.request_idle);
    limit(&mut timeouts.expect_continue, entry.expect_continue);
    limit(&mut timeouts.total, entry.total);
    timeouts
}

fn answers(entry: &AnswersEntry, note: &mut impl FnMut(String)) -> Answers {
    let mut answers = Answers::default();
    answers.locations = entry.locations.unwrap_or(answers.locations);
    answers.cookie_paths = entry.cookie_paths.unwrap_or(answers.cookie_paths);
    answers.strip_cors = entry.strip_cors.unwrap_or(answers.strip_cors);
    answers.cookie_domain = match entry.cookie_domain.as_deref() {
        None | Some("keep") => CookieDomain::Keep,
        Some("remove") => CookieDomain::Remove,
        Some(domain) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
            if !domain.contains('.') || !domain.bytes().all(plain) {
                note(format!("`{domain}` is neither a domain nor `keep` nor `remove`"));
            }
            CookieDomain::Set(domain.to_owned())
        }
    };
    answers
}
