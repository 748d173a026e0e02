//! Many keys at once.
