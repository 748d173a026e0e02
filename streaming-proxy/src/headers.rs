//! What happens to header fields on their way through.

pub(crate) mod answer;
pub(crate) mod claims;
pub(crate) mod cookies;
pub(crate) mod expect;
pub(crate) mod forwarded;
pub(crate) mod framing;
pub(crate) mod hop;
pub(crate) mod location;
pub(crate) mod max_forwards;
pub(crate) mod scan;
pub(crate) mod set_cookie;
pub(crate) mod trailers;
pub(crate) mod via;
