//! Forecast for several sizes of the next chunk: when the rest of a prompt would be through.

use super::pipeline::Pipeline;

/// Predictions of a [`Pipeline`] for each size of the next chunk; seconds as the pipeline counts
/// them.
pub(super) struct Forecast {
    sizes: Vec<Size>,
    /// The soonest end.
    pub(super) best: f64,
}

/// One size of the next chunk.
#[derive(Clone, Copy)]
struct Size {
    rows: usize,
    /// The end when all chunks have this size.
    even: f64,
    /// The end when those behind it may have another.
    least: f64,
}

impl Forecast {
    /// For `left` rows behind what is in `pipeline`; `sizes` ascend.
    ///
    /// Nothing hides what the first chunk takes the device, nor what the last takes the cloud: the
    /// next one may do better with another size than those behind it, or with all the rest behind
    /// it in one.
    pub(super) fn new(left: usize, sizes: &[usize], pipeline: &Pipeline<'_>) -> Self {
        let even: Vec<(usize, f64)> =
            sizes.iter().map(|&rows| (rows, pipeline.computed_after(left, rows, rows))).collect();
        let rest = even.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map_or(1, |&(rows, _)| rows);
        let longest = sizes.last().map_or(1, |&rows| rows);
        let size = |(rows, even): (usize, f64)| {
            let others = [rest, left.saturating_sub(rows).clamp(1, longest)]
                .map(|rest| pipeline.computed_after(left, rows, rest));
            Size { rows, even, least: others.into_iter().fold(even, f64::min) }
        };
        let sizes: Vec<Size> = even.into_iter().map(size).collect();
        let best = sizes.iter().map(|size| size.least).fold(f64::INFINITY, f64::min);
        Self { sizes, best }
    }

    /// Of the sizes that end within `about` of the best, the nearest to `aim` that need no other
    /// behind it; where all need one, the largest.
    pub(super) fn nearest(&self, aim: usize, about: f64) -> Option<usize> {
        let enough = self.best + about;
        let even = self
            .sizes
            .iter()
            .filter(|size| size.even <= enough)
            .map(|size| size.rows)
            .min_by_key(|rows| rows.abs_diff(aim));
        even.or_else(|| {
            self.sizes.iter().filter(|size| size.least <= enough).map(|size| size.rows).max()
        })
    }
}
