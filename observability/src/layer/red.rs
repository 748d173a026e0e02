//! Rate, errors, duration of each request, whatever becomes of it: answered, cancelled, or panicked.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use http::{Method, StatusCode};
use metrics::{Gauge, Histogram, Unit};
use tokio::time::Instant;
use tracing::Span;

use crate::layer::route::{RouteSlot, RouteTemplate};

const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";
/// Handles kept ready. Beyond that they are looked up each time, which is slower and as bounded.
const MAX_CACHED: usize = 1_024;
/// The status that nginx gave to requests whose client went away.
const CLIENT_GONE: u16 = 499;
/// The status of what is not built.
const NOT_IMPLEMENTED: u16 = 501;
/// The status of a service that cannot answer now, and says so.
const UNAVAILABLE: u16 = 503;

/// The metrics of one service.
#[derive(Debug)]
pub(super) struct Red {
    service: Arc<str>,
    access_log: bool,
    durations: RwLock<HashMap<Series, Histogram>>,
    /// By [`method_name`]'s position, each made when first needed.
    active: RwLock<HashMap<&'static str, Gauge>>,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Series {
    method: &'static str,
    route: Option<Arc<str>>,
    status: u16,
    fault: &'static str,
}

/// Lives as long as the request, its body included, and counts it when dropped.
#[derive(Debug)]
pub(super) struct Tracked {
    red: Arc<Red>,
    active: Gauge,
    method: &'static str,
    slot: RouteSlot,
    begin: Instant,
    pub(super) span: Span,
    status: Option<StatusCode>,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// Nothing has ended it yet: dropped now, it was cancelled.
    Pending,
    /// Inside a poll: dropped now, or never marked otherwise, it has panicked.
    Polling,
    Complete,
    Broken,
}

// === impl Red ===

impl Red {
    pub(super) fn new(service: Arc<str>, access_log: bool) -> Self {
        metrics::describe_histogram!(
            DURATION,
            Unit::Seconds,
            "Duration of HTTP requests, from the head of the request to the end of the response's body."
        );
        metrics::describe_gauge!(ACTIVE, Unit::Count, "HTTP requests under way.");
        Self { service, access_log, durations: RwLock::default(), active: RwLock::default() }
    }

    pub(super) fn track(self: &Arc<Self>, method: &Method, slot: RouteSlot, span: Span) -> Tracked {
        let method = method_name(method);
        let active = self.active(method);
        active.increment(1.0);
        Tracked {
            red: Arc::clone(self),
            active,
            method,
            slot,
            begin: Instant::now(),
            span,
            status: None,
            outcome: Outcome::Pending,
        }
    }

    fn active(&self, method: &'static str) -> Gauge {
        let known = self.active.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(gauge) = known.get(method) {
            return gauge.clone();
        }
        drop(known);
        let gauge = metrics::gauge!(
            ACTIVE,
            "service" => self.service.to_string(),
            "http.request.method" => method,
        );
        let mut known = self.active.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(method).or_insert(gauge).clone()
    }

    fn record(&self, series: Series, seconds: f64) {
        let known = self.durations.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = known.get(&series) {
            return histogram.record(seconds);
        }
        drop(known);
        let histogram = metrics::histogram!(
            DURATION,
            "service" => self.service.to_string(),
            "http.request.method" => series.method,
            "http.route" => series.route.as_deref().unwrap_or("unmatched").to_owned(),
            "http.response.status_code" => series.status.to_string(),
            // An empty value is as good as none.
            "error.type" => series.fault,
        );
        histogram.record(seconds);
        let known = self.durations.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        if known.len() < MAX_CACHED {
            known.insert(series, histogram);
        }
    }
}

// === impl Tracked ===

impl Tracked {
    /// Brackets a poll: what does not come back to [`polled`](Self::polled) has panicked.
    pub(super) fn polling(&mut self) {
        if self.outcome == Outcome::Pending {
            self.outcome = Outcome::Polling;
        }
    }

    pub(super) fn polled(&mut self) {
        if self.outcome == Outcome::Polling {
            self.outcome = Outcome::Pending;
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode, route: Option<RouteTemplate>) {
        self.status = Some(status);
        if let Some(route) = route {
            self.slot.set(route);
        }
    }

    pub(super) fn complete(&mut self) {
        self.outcome = Outcome::Complete;
    }

    pub(super) fn broken(&mut self) {
        self.outcome = Outcome::Broken;
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.active.decrement(1.0);
        let (status, fault) = match (self.outcome, self.status) {
            (Outcome::Complete, Some(status)) => (status.as_u16(), ""),
            (Outcome::Complete, None) => (500, "error"),
            (Outcome::Polling, status) => (status.map_or(500, |s| s.as_u16()), "panic"),
            (Outcome::Broken, status) => (status.map_or(500, |s| s.as_u16()), "body"),
            (Outcome::Pending, status) => (status.map_or(CLIENT_GONE, |s| s.as_u16()), "cancelled"),
        };
        let route = self.slot.get().map(|template| Arc::clone(&template.0));
        let seconds = self.begin.elapsed().as_secs_f64();

        let span = &self.span;
        span.record("http.response.status_code", status);
        if let Some(route) = &route {
            span.record("http.route", &**route);
            span.record("otel.name", format!("{} {route}", self.method));
        }
        let ours = status >= 500 || matches!(fault, "panic" | "body" | "error");
        if ours {
            span.record("otel.status_code", "ERROR");
        }
        if !fault.is_empty() {
            span.record("error.type", fault);
        }
        if self.red.access_log {
            let (method, route) = (self.method, route.as_deref().unwrap_or("unmatched"));
            if ours && !matches!(status, NOT_IMPLEMENTED | UNAVAILABLE) {
                tracing::error!(parent: span, method, route, status, fault, seconds, "request failed");
            } else if ours {
                // «Not now» and «not built» are answers: a service gives them on purpose.
                tracing::warn!(parent: span, method, route, status, fault, seconds, "request refused");
            } else {
                tracing::info!(parent: span, method, route, status, fault, seconds, "request");
            }
        }
        let series = Series { method: self.method, route, status, fault };
        self.red.record(series, seconds);
    }
}

/// The method if it is a known one: anyone can send `FOO1`, `FOO2`, ….
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "_OTHER",
    }
}
