//! Bundles: what `tricorn pack` writes and a device or a cloud loads.

pub(crate) mod manifest;
pub(crate) mod panels;

pub use manifest::{Bundle, MANIFEST_FILE, Manifest};
