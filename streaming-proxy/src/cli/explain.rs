//! What a table does, in words.

use std::fmt::Write as _;

use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri};
use tramline_streaming_proxy::config::Timeouts;
use tramline_streaming_proxy::route::Matched;
use tramline_streaming_proxy::route::config::Limit;
use tramline_streaming_proxy::{ErrorKind, ProxyError, Route, Routes, Upstream, UpstreamConfig, path};

use crate::args::Args;

/// All routes, one line each.
pub(crate) fn table(routes: &Routes) -> String {
    routes.iter().enumerate().fold(String::new(), |mut lines, (index, route)| {
        let _ = writeln!(lines, "{}: {route} -> {}", index + 1, upstream(&route.upstream));
        lines
    })
}

/// What becomes of a request: its route, upstream, target and times, or why it has none.
pub(crate) fn request(routes: &Routes, args: &Args, uri: &Uri) -> String {
    let host = uri.authority().or(args.host.as_ref()).map(Authority::host);
    let mut lines = format!("{} {uri}\n", args.method);
    if args.method == Method::CONNECT || args.method == Method::TRACE {
        let _ =
            writeln!(lines, "  answer    {}: {}", StatusCode::METHOD_NOT_ALLOWED, ErrorKind::MethodRefused);
        return lines;
    }
    match outcome(routes, args, host, uri) {
        Ok((matched, target)) => {
            let route = matched.route();
            let place =
                routes.iter().position(|known| std::ptr::eq(known, route)).map_or(0, |place| place + 1);
            let _ = writeln!(lines, "  route     {place}: {route}");
            let _ = writeln!(lines, "  upstream  {}", upstream(&route.upstream));
            let _ = writeln!(lines, "  target    {target}");
            let _ = writeln!(lines, "  timeouts  {}", timeouts(&route.timeouts));
            let _ = writeln!(lines, "  retries   {}", retries(route));
            let _ = writeln!(lines, "  balance   {}", balance(route.upstream.config()));
        }
        Err(error) => {
            let _ = writeln!(lines, "  answer    {}: {error}", error.status());
            if let Some(allow) = error.allow().and_then(|allow| allow.to_str().ok()) {
                let _ = writeln!(lines, "  allow     {allow}");
            }
        }
    }
    lines
}

fn outcome<'a>(
    routes: &'a Routes,
    args: &Args,
    host: Option<&str>,
    uri: &Uri,
) -> Result<(Matched<'a>, String), ProxyError> {
    let headers: HeaderMap = args.header.iter().cloned().collect();
    let path = path::normal(uri.path())?;
    let matched = routes.find(host, &path, &args.method, &headers)?;
    let target = matched.target(uri, &path)?;
    Ok((matched, target.to_string()))
}

fn upstream(upstream: &Upstream) -> String {
    format!("{} ({})", upstream.name(), upstream.addresses().collect::<Vec<_>>().join(", "))
}

fn retries(route: &Route) -> String {
    let statuses: Vec<_> = route.retries.statuses.iter().map(|status| status.as_str()).collect();
    let on = if statuses.is_empty() { String::new() } else { format!(", on {}", statuses.join(", ")) };
    format!("attempts {}{on}; priority {}", route.retries.attempts, route.priority)
}

/// What is not as always.
fn balance(config: &UpstreamConfig) -> String {
    let mut line = config.balance.to_string();
    let mut add = |what: std::fmt::Arguments<'_>| line.write_fmt(what).unwrap_or_default();
    if config.fail_fast {
        add(format_args!(", fail_fast"));
    }
    if config.adaptive_limit {
        add(format_args!(", adaptive_limit"));
    }
    if let Some(errors) = config.server_errors {
        add(format_args!(", server_errors {errors}"));
    }
    if let Some(time) = config.slow_start {
        add(format_args!(", slow_start {}", Limit(Some(time))));
    }
    if let Some(check) = &config.health_check {
        add(format_args!(", health_check {} every {}", check.path, Limit(Some(check.interval))));
    }
    line
}

fn timeouts(times: &Timeouts) -> String {
    format!(
        "response_header {}, response_idle {}, request_idle {}, total {}",
        Limit(times.response_header),
        Limit(times.response_idle),
        Limit(times.request_idle),
        Limit(times.total),
    )
}
