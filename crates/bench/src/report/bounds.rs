//! Times to first token against one lower bound a request, the same for every mode that sends rows
//! in the same codec.

use std::collections::BTreeMap;

use super::paired::requests;
use crate::{
    cell::Cell,
    figures::{Summary, ratio},
};

/// A time to first token within so many times its bound counts as close to it.
const CLOSE: f64 = 1.10;

/// By load, codec and request, the least [`bound`](crate::cell::Breakdown::bound), in milliseconds,
/// over all modes of the codec.
///
/// Only requests that every mode answered under the load have one: otherwise each mode would be
/// measured by other requests. Coded rows are fewer bytes: what they make possible is no bound for
/// those who send them plain. A mode's own bound would flatter it: a whole prompt's cheapest chunk
/// is the whole prompt, and its first chunk too.
pub(super) struct Bounds<'c>(BTreeMap<(&'c str, &'static str, usize), f64>);

impl<'c> Bounds<'c> {
    pub(super) fn of(cells: &'c [Cell]) -> Self {
        let mut least = BTreeMap::new();
        for cell in cells {
            let others: Vec<_> =
                cells.iter().filter(|other| other.load == cell.load).map(requests).collect();
            for sample in cell
                .samples
                .iter()
                .filter(|sample| others.iter().all(|other| other.contains(&sample.request)))
            {
                let Some(breakdown) = sample.breakdown else { continue };
                let bound = least
                    .entry((cell.load.as_str(), cell.codec.name(), sample.request))
                    .or_insert(breakdown.bound);
                *bound = breakdown.bound.min(*bound);
            }
        }
        Self(least)
    }

    /// Times to first token and their bounds, of the requests that have one.
    fn pairs(&self, cell: &Cell) -> Vec<(f64, f64)> {
        cell.samples
            .iter()
            .filter_map(|sample| Some((sample.ttft_ms, self.get(cell, sample.request)?)))
            .collect()
    }

    fn get(&self, cell: &Cell, request: usize) -> Option<f64> {
        self.0.get(&(cell.load.as_str(), cell.codec.name(), request)).copied()
    }

    /// Request by request, the time to first token over its bound.
    pub(super) fn each_over(&self, cell: &Cell) -> Option<Summary> {
        Summary::of(self.pairs(cell).into_iter().map(|(ttft, bound)| ttft / bound))
    }

    /// The mean time to first token over the mean bound.
    pub(super) fn mean_over(&self, cell: &Cell) -> Option<f64> {
        let (ttft, bound): (Vec<f64>, Vec<f64>) = self.pairs(cell).into_iter().unzip();
        ratio(Summary::of(ttft), Summary::of(bound))
    }

    /// The share of these requests whose time to first token is within 1.10 of its bound.
    pub(super) fn share_close(&self, cell: &Cell) -> Option<f64> {
        let pairs = self.pairs(cell);
        (!pairs.is_empty()).then(|| {
            pairs.iter().filter(|(ttft, bound)| *ttft <= CLOSE * bound).count() as f64
                / pairs.len() as f64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tricorn_core::HiddenCodec;

    use crate::{cell::Breakdown, cell::tests::cell};

    /// A cell of four requests with these bounds; their times to first token are `ttft` and 1, 2
    /// and 3 ms more.
    fn bounded(mode: &str, ttft: u64, bounds: [f64; 4]) -> Cell {
        let mut cell = cell(mode, ttft, 10);
        for (sample, bound) in cell.samples.iter_mut().zip(bounds) {
            sample.breakdown = Some(Breakdown { bound, ..Breakdown::default() });
        }
        cell
    }

    #[test]
    fn all_modes_are_measured_against_the_least_bound_of_each_request() {
        let cells = [
            bounded("u-shape", 600, [600.0; 4]),
            bounded("hat", 330, [300.0, 301.0, 302.0, 200.0]),
        ];
        let bounds = Bounds::of(&cells);
        let mean = (300.0 + 301.0 + 302.0 + 200.0) / 4.0;
        assert_eq!(bounds.mean_over(&cells[0]), Some(601.5 / mean));
        assert_eq!(bounds.mean_over(&cells[1]), Some(331.5 / mean));
        assert_eq!(
            (bounds.share_close(&cells[0]), bounds.share_close(&cells[1])),
            (Some(0.0), Some(0.75))
        );
        assert_eq!(bounds.each_over(&cells[1]).map(|summary| summary.p99), Some(333.0 / 200.0));
    }

    #[test]
    fn coded_rows_have_bounds_of_their_own() {
        let mut coded = bounded("hat-coded", 330, [250.0; 4]);
        coded.codec = HiddenCodec::F16z;
        let cells = [bounded("hat", 330, [300.0; 4]), coded];
        let bounds = Bounds::of(&cells);
        assert_eq!(
            cells.each_ref().map(|cell| bounds.mean_over(cell)),
            [Some(331.5 / 300.0), Some(331.5 / 250.0)]
        );
    }

    #[test]
    fn only_what_all_modes_answered_has_a_bound_and_loads_are_apart() {
        let mut partly = bounded("hat", 330, [330.0; 4]);
        partly.samples.pop();
        let mut other = bounded("hat", 330, [1.0; 4]);
        other.load = "low".to_owned();
        let mut cells = [bounded("u-shape", 600, [400.0, 400.0, 400.0, 1.0]), partly, other];
        let bounds = Bounds::of(&cells);
        assert_eq!(
            [0, 1, 2].map(|cell| bounds.each_over(&cells[cell]).map(|over| over.count)),
            [Some(3), Some(3), Some(4)]
        );
        assert_eq!(
            (bounds.mean_over(&cells[0]), bounds.share_close(&cells[1])),
            (Some(601.0 / 330.0), Some(1.0))
        );
        cells[1].samples.clear();
        let bounds = Bounds::of(&cells);
        assert_eq!(
            (bounds.mean_over(&cells[0]), bounds.share_close(&cells[1])),
            (None, None),
            "a mode that answered nothing"
        );
        let none = [cell("hat", 330, 10)];
        let bounds = Bounds::of(&none);
        assert_eq!((bounds.mean_over(&none[0]), bounds.share_close(&none[0])), (None, None));
    }
}
