//! event hub
