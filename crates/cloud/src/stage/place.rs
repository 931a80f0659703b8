//! Place of a stage: the part of the middle that is here.

use std::ops::Range;

use crate::{CloudConfig, CloudError, Served};

/// The layers of one stage within the middle, all counted in the whole model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) held: Range<usize>,
    pub(crate) middle: Range<usize>,
}

impl Place {
    /// Checks that the layers of `config` are a part of the middle, and that a next stage is named
    /// when, and only when, there are layers left for it.
    pub(crate) fn new(config: &CloudConfig, served: Served) -> Result<Self, CloudError> {
        let whole = served.split.ranges(served.layers)?.middle;
        let held = config.held.clone().unwrap_or(whole);
        let middle = served.split.middle_around(served.layers, &held)?;
        match &config.next {
            None if held.end < middle.end => {
                Err(CloudError::NoNext { end: held.end, last: middle.end })
            }
            Some(_) if held.end == middle.end => Err(CloudError::NothingLeft { end: held.end }),
            _ => Ok(Self { held, middle }),
        }
    }

    /// Whether devices talk to this stage.
    pub(crate) fn is_first(&self) -> bool {
        self.held.start == self.middle.start
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tricorn_core::{Fingerprint, Formats, Split};

    fn place(held: Option<Range<usize>>, next: bool) -> Result<Place, CloudError> {
        let split = Split { input_layers: 2, output_layers: 1 };
        let served = Served {
            fingerprint: Fingerprint([1; 32]),
            split,
            layers: 8,
            formats: Formats::UNKNOWN,
        };
        let config = CloudConfig::new("127.0.0.1:0".parse().unwrap(), 64);
        Place::new(
            &CloudConfig { held, next: next.then(|| "127.0.0.1:1".to_owned()), ..config },
            served,
        )
    }

    #[test]
    fn a_next_stage_is_named_when_layers_are_left() {
        assert!(place(None, false).unwrap().is_first());
        assert!(place(Some(2..4), true).unwrap().is_first());
        assert!(!place(Some(4..5), true).unwrap().is_first());
        assert!(!place(Some(5..7), false).unwrap().is_first());
        assert!(matches!(place(Some(2..4), false), Err(CloudError::NoNext { end: 4, last: 7 })));
        assert!(matches!(place(Some(4..7), true), Err(CloudError::NothingLeft { end: 7 })));
        assert!(matches!(place(None, true), Err(CloudError::NothingLeft { .. })));
        for outside in [1..4, 5..8, 4..4] {
            assert!(matches!(place(Some(outside), true), Err(CloudError::Split(_))));
        }
    }
}
