//! A tower layer around an HTTP service.

pub mod http_cache;
