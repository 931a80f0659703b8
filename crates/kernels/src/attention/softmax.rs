//! Online softmax of one query over the blocks of positions.

use super::{layout::KV_BLOCK, products::Row};
use crate::simd::{
    lanes::{LANES, Lanes},
    math::{exp, sum_lanes},
};
use std::ops::Range;

/// The largest score so far, and the sums of `e^(score - largest)` of every sixteenth position.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    most: f32,
    sums: [f32; LANES],
}

impl Running {
    /// Before any position.
    pub(super) const NONE: Self = Self { most: f32::NEG_INFINITY, sums: [0.0; LANES] };

    /// Replaces the scores of a block by weights `e^(score - largest)`, zero outside of `slots`.
    /// Where the largest grows, returns the factor by which earlier weights shrink.
    #[inline(always)]
    pub(super) fn weigh<L: Lanes>(
        &mut self,
        lanes: L,
        scores: &mut Row,
        slots: Range<usize>,
    ) -> Option<f32> {
        let partial = slots != (0..KV_BLOCK);
        if partial {
            // Slots outside the row's positions hold other rows' keys or leftovers.
            scores[..slots.start].fill(f32::NEG_INFINITY);
            scores[slots.end..].fill(f32::NEG_INFINITY);
        }
        let mut most = lanes.splat(self.most);
        for scores in scores.as_chunks().0 {
            most = lanes.greater(lanes.load(scores), most);
        }
        let most = lanes.greatest(most);
        let mut sums = lanes.load(&self.sums);
        let shrink = (most > self.most).then(|| exp(self.most - most));
        if let Some(shrink) = shrink {
            self.most = most;
            sums = lanes.fma(sums, lanes.splat(shrink), lanes.splat(0.0));
        }
        for score in scores.iter_mut() {
            *score = exp(*score - most);
        }
        if partial {
            scores[..slots.start].fill(0.0);
            scores[slots.end..].fill(0.0);
        }
        for weights in scores.as_chunks().0 {
            sums = lanes.fma(lanes.load(weights), lanes.splat(1.0), sums);
        }
        lanes.store(sums, &mut self.sums);
        shrink
    }

    /// What the weighted sum of values is to be multiplied by in the end.
    #[inline(always)]
    pub(super) fn normaliser(&self) -> f32 {
        1.0 / sum_lanes(self.sums)
    }
}
