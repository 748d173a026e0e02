//! The same as `event-hub-load`, with every allocation counted, which costs time of its own.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> anyhow::Result<()> {
    benches::event_hub::main(Some(|| {
        let stats = ALLOCATOR.stats();
        // A growth that moves counts as one more.
        ((stats.allocations + stats.reallocations) as u64, stats.bytes_allocated as u64)
    }))
}
