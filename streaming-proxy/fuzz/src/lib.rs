//! What the fuzz targets share: a proxy between two ends that speak raw bytes, and a reader of HTTP/1 that forgives
//! nothing. It shares no code with the proxy, or a mistake would agree with itself.

pub mod bed;
pub mod strict;
