//! ws rooms
