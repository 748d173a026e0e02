//! What the cache warns of.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::subscriber::DefaultGuard;
use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

/// Each of them, as people read it.
#[derive(Clone, Default)]
pub(crate) struct Warnings(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Said(String);

// === impl Warnings ===

impl Warnings {
    /// On this thread. There is another subscriber beside it, which hears nothing: with one alone, what another thread is
    /// the first to say, and nobody hears there, is taken for what nobody hears anywhere.
    pub(crate) fn listen(&self) -> (Dispatch, DefaultGuard) {
        let beside = Dispatch::new(tracing_subscriber::registry());
        (beside, tracing::subscriber::set_default(tracing_subscriber::registry().with(self.clone())))
    }

    /// Those since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let of = event.metadata();
        if *of.level() == Level::WARN && of.target().starts_with("tramline_cache") {
            let mut said = Said::default();
            event.record(&mut said);
            self.0.lock().unwrap().push(said.0);
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0 += &match field.name() {
            "message" => format!("{value:?}"),
            name => format!(" {name}={value:?}"),
        };
    }
}
