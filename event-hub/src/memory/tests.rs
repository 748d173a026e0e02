//! Tests of the embedded broker that need its inside.
