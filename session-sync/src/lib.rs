//! session sync
