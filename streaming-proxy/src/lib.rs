//! streaming proxy
