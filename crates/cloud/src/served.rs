//! Identity of the model that a cloud serves.

use tricorn_core::{Fingerprint, Formats, Split};

/// Model, split and formats that a device must share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// Fingerprint of the whole model.
    pub fingerprint: Fingerprint,
    /// Split of the model.
    pub split: Split,
    /// Decoder layers of the whole model.
    pub layers: usize,
    /// Formats of its weights and KV caches.
    pub formats: Formats,
}
