//! Identity of the model that a cloud serves.

use tricorn_core::{Fingerprint, Formats, Split};

/// What a device must hold as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The whole model's.
    pub fingerprint: Fingerprint,
    /// Where it is cut.
    pub split: Split,
    /// Its decoder layers.
    pub layers: usize,
    /// What its numbers are held in.
    pub formats: Formats,
}
