//! What happens to header fields on their way through.

pub(crate) mod cookies;
pub(crate) mod forwarded;
pub(crate) mod framing;
pub(crate) mod hop;
pub(crate) mod trailers;
