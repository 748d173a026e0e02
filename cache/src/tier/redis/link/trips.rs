//! How long Redis takes, in the words of OpenTelemetry's conventions for databases.

use std::time::Duration;

use ::redis::{Arg, Cmd};
use metrics::{Histogram, histogram};

use crate::metrics::names;
use crate::tier::redis::call::Call;

/// What is asked in one trip. Others of its kind are alike, whatever their keys are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    Get,
    MGet,
    Set,
    Time,
    /// A script.
    EvalSha,
    /// Several commands, one after the other.
    Pipeline,
}

/// One series for each operation that succeeds, made once.
pub(super) struct Trips([Histogram; Operation::ALL.len()]);

// === impl Operation ===

impl Operation {
    const ALL: [Self; 6] = [Self::Get, Self::MGet, Self::Set, Self::Time, Self::EvalSha, Self::Pipeline];

    pub(super) fn of(command: &Cmd) -> Self {
        match command.args_iter().next() {
            Some(Arg::Simple(b"GET")) => Self::Get,
            Some(Arg::Simple(b"MGET")) => Self::MGet,
            Some(Arg::Simple(b"SET")) => Self::Set,
            Some(Arg::Simple(b"EVALSHA")) => Self::EvalSha,
            _ => Self::Pipeline,
        }
    }

    pub(super) fn of_all(calls: &[Call<'_>]) -> Self {
        match calls {
            [call] => Self::of(&call.command),
            _ => Self::Pipeline,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::MGet => "MGET",
            Self::Set => "SET",
            Self::Time => "TIME",
            Self::EvalSha => "EVALSHA",
            Self::Pipeline => "PIPELINE",
        }
    }
}

// === impl Trips ===

impl Trips {
    pub(super) fn new() -> Self {
        names::describe_redis();
        let of = |operation: Operation| {
            histogram!(
                names::OPERATION_DURATION,
                "db.system.name" => "redis",
                "db.operation.name" => operation.name(),
            )
        };
        Self(Operation::ALL.map(of))
    }

    #[allow(clippy::indexing_slicing, reason = "one for each")]
    pub(super) fn succeeded(&self, operation: Operation, took: Duration) {
        self.0[operation as usize].record(took);
    }

    /// `error`: one of a few words.
    pub(super) fn failed(operation: Operation, took: Duration, error: &'static str) {
        let failed = histogram!(
            names::OPERATION_DURATION,
            "db.system.name" => "redis",
            "db.operation.name" => operation.name(),
            "error.type" => error,
        );
        failed.record(took);
    }
}
