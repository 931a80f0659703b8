//! Split of a model between device and cloud.

use std::{fmt, ops::Range, str::FromStr};

/// The two cuts of a model of `N` decoder layers, written `M:K`.
///
/// The device runs the embedding and layers `[0, M)`, the cloud `[M, N-K)`, the device again `[N-K,
/// N)`, the final norm and the head. `K = 0` is the HAT paper's split (arXiv 2503.18989, section
/// 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Split {
    /// `M`: decoder layers on the device before the cloud.
    pub input_layers: usize,
    /// `K`: decoder layers on the device after the cloud.
    pub output_layers: usize,
}

/// The layers of each part, as half-open ranges over the whole model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRanges {
    /// The device's first layers.
    pub input: Range<usize>,
    /// The cloud's layers.
    pub middle: Range<usize>,
    /// The device's last layers.
    pub output: Range<usize>,
}

/// Reason why a split is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The text is not `M:K`.
    #[error(
        "`{0}` is not a split; write M:K, for example 2:0 (M first layers and K last layers on \
         the device)"
    )]
    Syntax(String),
    /// `M = 0` would put bare embeddings on the wire, from which the text can be read by table
    /// lookup.
    #[error(
        "split {0} keeps no decoder layer in front of the cloud, so the text could be read off \
         the wire; use M of at least 1"
    )]
    NoInputLayer(Split),
    /// Nothing is left for the cloud.
    #[error(
        "split {split} leaves the cloud no layer of a model that has {layers}; M + K must be \
         below {layers}"
    )]
    NoMiddleLayer {
        /// The refused split.
        split: Split,
        /// The model's decoder layers.
        layers: usize,
    },
    /// A cloud was given layers that are not its to run.
    #[error(
        "layers {}..{} are not a part of the middle, which split {split} leaves at {}..{}; give \
         layers A..B within it",
        held.start, held.end, middle.start, middle.end
    )]
    OutsideMiddle {
        /// The split.
        split: Split,
        /// The refused layers.
        held: Range<usize>,
        /// The middle's layers.
        middle: Range<usize>,
    },
}

impl Split {
    /// The layer ranges of this split over a model of `layers` decoder layers.
    ///
    /// # Errors
    /// When the device keeps no first layer or the cloud gets none.
    pub fn ranges(self, layers: usize) -> Result<LayerRanges, SplitError> {
        if self.input_layers == 0 {
            return Err(SplitError::NoInputLayer(self));
        }
        match self.input_layers.checked_add(self.output_layers) {
            Some(on_device) if on_device < layers => {
                let last = layers - self.output_layers;
                Ok(LayerRanges {
                    input: 0..self.input_layers,
                    middle: self.input_layers..last,
                    output: last..layers,
                })
            }
            _ => Err(SplitError::NoMiddleLayer { split: self, layers }),
        }
    }

    /// The layers of the middle of a model of `layers` decoder layers, once it is sure that `held`
    /// is a part of them.
    ///
    /// # Errors
    /// As [`ranges`](Self::ranges), and when `held` is empty or reaches beyond the middle.
    pub fn middle_around(
        self,
        layers: usize,
        held: &Range<usize>,
    ) -> Result<Range<usize>, SplitError> {
        let middle = self.ranges(layers)?.middle;
        if held.is_empty() || held.start < middle.start || held.end > middle.end {
            return Err(SplitError::OutsideMiddle { split: self, held: held.clone(), middle });
        }
        Ok(middle)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input_layers, self.output_layers)
    }
}

impl FromStr for Split {
    type Err = SplitError;

    fn from_str(text: &str) -> Result<Self, SplitError> {
        let syntax = || SplitError::Syntax(text.to_owned());
        let (m, k) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self {
            input_layers: m.trim().parse().map_err(|_| syntax())?,
            output_layers: k.trim().parse().map_err(|_| syntax())?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_model_once() {
        let parts = "3:2".parse::<Split>().unwrap().ranges(12).unwrap();
        assert_eq!((parts.input, parts.middle, parts.output), (0..3, 3..10, 10..12));
    }

    #[test]
    fn a_part_of_the_middle_is_not_empty_and_within_it() {
        let split = "3:2".parse::<Split>().unwrap();
        for held in [3..10, 3..4, 9..10] {
            assert_eq!(split.middle_around(12, &held), Ok(3..10));
        }
        for held in [2..5, 9..11, 5..5, 12..14] {
            assert_eq!(
                split.middle_around(12, &held),
                Err(SplitError::OutsideMiddle { split, held, middle: 3..10 })
            );
        }
    }

    #[test]
    fn refuses_what_leaves_a_side_empty() {
        let split = |m, k| Split { input_layers: m, output_layers: k };
        assert_eq!(split(0, 1).ranges(4), Err(SplitError::NoInputLayer(split(0, 1))));
        assert!(matches!(split(2, 2).ranges(4), Err(SplitError::NoMiddleLayer { layers: 4, .. })));
        assert!(split(usize::MAX, 2).ranges(4).is_err());
        assert!("2:x".parse::<Split>().is_err());
        assert_eq!("2".parse::<Split>().unwrap(), split(2, 0));
    }
}
