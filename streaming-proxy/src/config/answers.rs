//! What of the answers of a route is written anew.

/// What of a route's answers is written anew, so that a client finds what they speak of.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answers {
    /// Whether `Location` and `Content-Location` lead through this route where they name a place behind it: the path as
    /// the route's strip and add turn it around, and no more of the upstream's address. What leads elsewhere stays, and
    /// so does all of a route with a template, which nothing turns around.
    ///
    /// On by default: such a place leads nowhere otherwise, and tells an address inside.
    pub locations: bool,
    /// Whether `Path` of cookies is turned around in the same way.
    ///
    /// Off by default: a cookie for `/` may be meant for more than what the upstream serves.
    pub cookie_paths: bool,
    /// What becomes of `Domain` of cookies.
    pub cookie_domain: CookieDomain,
    /// Whether `Access-Control-*` is removed. For an edge that does CORS by itself: its layer writes these fields for the
    /// origins that it allows, and for all others those of the upstream would be left.
    ///
    /// Off by default: the upstream's is the only one, unless there is such a layer.
    pub strip_cors: bool,
}

/// What becomes of the attribute `Domain` of an upstream's cookies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum CookieDomain {
    /// It stays.
    #[default]
    Keep,
    /// It goes: the cookie is for the host that the client asked for, and no other.
    Remove,
    /// It is this one, where there was one.
    Set(String),
}

// === impl Answers ===

impl Default for Answers {
    fn default() -> Self {
        Self { locations: true, cookie_paths: false, cookie_domain: CookieDomain::Keep, strip_cors: false }
    }
}
