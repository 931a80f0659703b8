//! Two modes over the requests that both answered: requests that only one answered would make the
//! other look slower or faster than it is.

use std::collections::BTreeSet;

use crate::{
    cell::{Cell, Sample},
    figures::{Summary, ratio},
};

/// One cell's means over another's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Paired {
    /// Requests that both answered.
    pub(crate) requests: usize,
    /// Mean time to first token over the other's.
    pub(crate) ttft: Option<f64>,
    /// Mean time between tokens over the other's.
    pub(crate) tbt: Option<f64>,
}

impl Paired {
    /// The means of `cell` over those of `base`.
    pub(crate) fn of(cell: &Cell, base: &Cell) -> Self {
        let [theirs, own] = [base, cell].map(requests);
        let (own, base) = (answered(cell, &theirs), answered(base, &own));
        let ttft = |samples: &[&Sample]| Summary::of(samples.iter().map(|sample| sample.ttft_ms));
        let tbt = |samples: &[&Sample]| {
            Summary::of(samples.iter().flat_map(|sample| sample.gaps_ms.iter().copied()))
        };
        Self {
            requests: own.len(),
            ttft: ratio(ttft(&own), ttft(&base)),
            tbt: ratio(tbt(&own), tbt(&base)),
        }
    }
}

/// The requests that a cell answered.
pub(crate) fn requests(cell: &Cell) -> BTreeSet<usize> {
    cell.samples.iter().map(|sample| sample.request).collect()
}

fn answered<'c>(cell: &'c Cell, requests: &BTreeSet<usize>) -> Vec<&'c Sample> {
    cell.samples.iter().filter(|sample| requests.contains(&sample.request)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::cell;

    #[test]
    fn a_slow_request_that_one_mode_lost_flatters_nobody() {
        let (mut base, mut hat) = (cell("u-shape", 600, 50), cell("hat", 300, 25));
        // The last request is slow, and only u-shape answered it.
        base.samples[3].ttft_ms = 60_000.0;
        base.samples[3].gaps_ms = vec![9_000.0; 6];
        hat.samples.pop();
        let [first, second] = [Paired::of(&hat, &base), Paired::of(&base, &hat)];
        assert_eq!(first, Paired { requests: 3, ttft: Some(301.0 / 601.0), tbt: Some(0.5) });
        assert_eq!(second, Paired { requests: 3, ttft: Some(601.0 / 301.0), tbt: Some(2.0) });
        hat.samples.clear();
        assert_eq!(Paired::of(&hat, &base), Paired { requests: 0, ttft: None, tbt: None });
    }
}
