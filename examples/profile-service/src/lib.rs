//! profile-service
