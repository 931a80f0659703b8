//! Rows of the main table.

use serde::Serialize;

use super::{bounds::Bounds, paired::Paired};
use crate::{cell::Cell, figures::Summary, mode::Mode, scenario::Scenario};

/// One mode under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The load's name.
    pub load: String,
    /// Requests a second.
    pub rate: f64,
    /// The mode's name.
    pub mode: String,
    /// Requests answered.
    pub answered: usize,
    /// Requests that failed.
    pub failed: usize,
    /// Why the first of them did.
    pub failure: Option<String>,
    /// Time to first token, ms.
    pub ttft_ms: Option<Summary>,
    /// Time between tokens, ms; the tokens of one round share its time.
    pub tbt_ms: Option<Summary>,
    /// Time between arrivals of tokens, ms: what a round confirmed arrives at once.
    pub pause_ms: Option<Summary>,
    /// Wait for the device, ms.
    pub waited_ms: Option<Summary>,
    /// Requests that both the mode and the baseline answered, which the ratios are over.
    pub shared: usize,
    /// Mean time to first token over that of the baseline under the same load: [`Mode::BASELINE`],
    /// or the first mode where it was not measured.
    pub ttft_ratio: Option<f64>,
    /// Mean time between tokens, likewise.
    pub tbt_ratio: Option<f64>,
    /// Tokens gained by a verification round: accepted drafts and the target's own.
    pub tokens_per_round: Option<f64>,
    /// Bytes to the cloud a request.
    pub bytes_up: f64,
    /// Bytes from the cloud a request.
    pub bytes_down: f64,
    /// Share of requests within the scenario's objective.
    pub slo_attainment: Option<f64>,
    /// Request by request, time to first token over its lower bound: the least
    /// [`bound`](crate::cell::Breakdown::bound) over all modes of the run. Of requests that all
    /// modes answered.
    pub ttft_over_bound: Option<Summary>,
    /// Mean time to first token over the mean of those bounds.
    pub mean_ttft_over_bound: Option<f64>,
    /// Share of these requests whose time to first token is within 1.10 of that bound.
    pub within_tenth_of_bound: Option<f64>,
    /// Share of the mean time to first token that the upload and the round trip take.
    pub transmission_share: Option<f64>,
    /// Operations of devices that took longer than their throttle; 0 without one.
    pub overruns: usize,
    /// Busy share of this machine's cores.
    pub cpu_share: Option<f64>,
    /// This machine was too busy for the figures to be the method's.
    pub saturated: bool,
}

/// The rows of cells that share a scenario.
pub(super) fn rows(cells: &[Cell], scenario: &Scenario) -> Vec<Row> {
    let base = |cell: &Cell| {
        let mut of_load = cells.iter().filter(|other| other.load == cell.load);
        of_load.clone().find(|other| other.mode == Mode::BASELINE).or_else(|| of_load.next())
    };
    let bounds = Bounds::of(cells);
    cells.iter().map(|cell| row(cell, base(cell), &bounds, scenario)).collect()
}

fn row(cell: &Cell, base: Option<&Cell>, bounds: &Bounds<'_>, scenario: &Scenario) -> Row {
    let shared = base.map(|base| Paired::of(cell, base));
    let (bytes_up, bytes_down) = cell.bytes_per_request();
    Row {
        load: cell.load.clone(),
        rate: cell.rate,
        mode: cell.mode.clone(),
        answered: cell.samples.len(),
        failed: cell.failures.len(),
        failure: cell.failures.first().map(|failure| failure.reason.clone()),
        ttft_ms: cell.ttft(),
        tbt_ms: cell.tbt(),
        pause_ms: cell.pause(),
        waited_ms: cell.waited(),
        shared: shared.map_or(0, |shared| shared.requests),
        ttft_ratio: shared.and_then(|shared| shared.ttft),
        tbt_ratio: shared.and_then(|shared| shared.tbt),
        tokens_per_round: cell.tokens_per_round(),
        bytes_up,
        bytes_down,
        slo_attainment: cell.slo_attainment(scenario),
        ttft_over_bound: bounds.each_over(cell),
        mean_ttft_over_bound: bounds.mean_over(cell),
        within_tenth_of_bound: bounds.share_close(cell),
        transmission_share: cell.transmission_share(),
        overruns: cell.samples.iter().map(|sample| sample.overruns).sum(),
        cpu_share: cell.cpu_share,
        saturated: cell.is_saturated(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::cell;

    #[test]
    fn ratios_are_to_u_shape_under_the_same_load() {
        let mut other = cell("u-shape", 100, 1);
        other.load = "low".to_owned();
        let rows = rows(
            &[other, cell("u-shape", 600, 50), cell("hat", 300, 25)],
            &Scenario::named("paper-proportions").unwrap(),
        );
        assert_eq!(
            rows.iter().map(|row| row.tbt_ratio).collect::<Vec<_>>(),
            [Some(1.0), Some(1.0), Some(0.5)]
        );
        assert!((rows[2].ttft_ratio.unwrap() - 301.5 / 601.5).abs() < 1e-12);
        let without = super::rows(
            &[cell("hat", 300, 25), cell("hat-fused", 300, 20)],
            &Scenario::named("quick").unwrap(),
        );
        assert_eq!(
            without[1].tbt_ratio,
            Some(0.8),
            "to the first mode where u-shape was not measured"
        );
    }
}
