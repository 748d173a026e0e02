//! Which layer sees what.

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber, span};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Filter};

/// The log's filter: events by the directives, but spans of `info` and better always, because they hold the
/// request id and the service that a warning inside them must name.
#[derive(Debug)]
pub(super) struct SpansAlways(pub(super) EnvFilter);

/// The exporter's filter: spans of `info` and better, warnings as their events; and nothing from the exporter
/// itself, which would feed on its own output.
#[derive(Debug)]
pub(super) struct ExportFilter;

// === impl SpansAlways ===

impl<S: Subscriber> Filter<S> for SpansAlways {
    fn enabled(&self, meta: &Metadata<'_>, cx: &Context<'_, S>) -> bool {
        is_context(meta) || Filter::enabled(&self.0, meta, cx)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        // The directives must see each span's call site, or those that name spans would not work.
        let interest = Filter::<S>::callsite_enabled(&self.0, meta);
        if is_context(meta) {
            return Interest::always();
        }
        interest
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(Filter::<S>::max_level_hint(&self.0)?.max(LevelFilter::INFO))
    }

    fn on_new_span(&self, attrs: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        Filter::on_new_span(&self.0, attrs, id, ctx);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        Filter::on_record(&self.0, id, values, ctx);
    }

    fn on_enter(&self, id: &span::Id, ctx: Context<'_, S>) {
        Filter::on_enter(&self.0, id, ctx);
    }

    fn on_exit(&self, id: &span::Id, ctx: Context<'_, S>) {
        Filter::on_exit(&self.0, id, ctx);
    }

    fn on_close(&self, id: span::Id, ctx: Context<'_, S>) {
        Filter::on_close(&self.0, id, ctx);
    }
}

// === impl ExportFilter ===

impl<S: Subscriber> Filter<S> for ExportFilter {
    fn enabled(&self, meta: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        exported(meta)
    }

    fn callsite_enabled(&self, meta: &'static Metadata<'static>) -> Interest {
        if exported(meta) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

fn exported(meta: &Metadata<'_>) -> bool {
    let worst = if meta.is_span() { Level::INFO } else { Level::WARN };
    *meta.level() <= worst && !is_own(meta.target())
}

fn is_context(meta: &Metadata<'_>) -> bool {
    meta.is_span() && *meta.level() <= Level::INFO && !is_own(meta.target())
}

/// Whether a target belongs to the export itself.
pub(super) fn is_own(target: &str) -> bool {
    ["opentelemetry", "hyper", "reqwest", "h2"].iter().any(|own| target.starts_with(own))
}
