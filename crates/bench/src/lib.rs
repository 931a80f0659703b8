//! What Tricorn is measured with: emulated links between device and cloud.

pub mod link;
