//! The real clock.

#[expect(clippy::disallowed_types, reason = "a load program measures the real clock, and has no runtime")]
pub(crate) type Instant = std::time::Instant;
