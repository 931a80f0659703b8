//! Chunks sweep: fixed sizes against the dynamic one.

use super::inputs::Inputs;
use crate::{
    compare::{Comparison, Plan, compare},
    error::BenchError,
    mode::Mode,
    report::{Finding, Paired, Report, Target},
    scenario::Load,
};

/// Rows of the fixed chunks.
const FIXED: [usize; 6] = [16, 32, 64, 128, 256, 512];
/// The mode whose chunks are dynamic.
pub(super) const DYNAMIC: &str = "+chunks";
/// The link's rates times these.
const BANDWIDTHS: [f64; 3] = [0.5, 1.0, 2.0];
const LOADS: [Load; 2] = [Load::Middle, Load::High];
/// Texts are short: the question is about the first token, but others must be decoding.
const NEW_TOKENS: usize = 32;
/// Dynamic chunks over the best fixed size, which nobody knows beforehand.
const TARGET: Target = Target::AtMost(1.05);

pub(super) fn modes() -> Result<Vec<Mode>, BenchError> {
    FIXED
        .iter()
        .map(|rows| format!("fixed-{rows}"))
        .chain([DYNAMIC.to_owned()])
        .map(|name| Mode::named(&name))
        .collect()
}

/// One report a bandwidth.
pub(super) fn run(inputs: Inputs<'_>, plan: &Plan) -> Result<Vec<Report>, BenchError> {
    let mut reports = Vec::new();
    for bandwidth in BANDWIDTHS {
        if inputs.stop.is_asked() {
            break;
        }
        let mut plan = plan.clone();
        plan.scenario.rates_times = bandwidth;
        plan.loads = LOADS.map(|load| plan.scenario.load(load)).to_vec();
        plan.max_new_tokens = plan.max_new_tokens.min(NEW_TOKENS);
        let comparison =
            compare(inputs.setup, inputs.prompts, &plan, inputs.observer, inputs.stop)?;
        let findings = plan.loads.iter().map(|(load, _)| Finding {
            what: format!(
                "TTFT of dynamic chunks over the best fixed size, {bandwidth} x the link's rates, \
                 load {load}"
            ),
            measured: over_best(&comparison, load),
            target: TARGET,
        });
        let findings = findings.collect();
        reports.push(Report::new(&plan, comparison, findings));
    }
    Ok(reports)
}

/// The mean time to first token of dynamic chunks over that of the best fixed size, over the
/// requests that both answered.
pub(super) fn over_best(comparison: &Comparison, load: &str) -> Option<f64> {
    let of_load = comparison.cells.iter().filter(|cell| cell.load == load);
    let dynamic = of_load.clone().find(|cell| cell.mode == DYNAMIC)?;
    let ratios: Option<Vec<f64>> = of_load
        .filter(|cell| cell.mode != DYNAMIC)
        .map(|fixed| Paired::of(dynamic, fixed).ttft)
        .collect();
    // A size that answered nothing might have been the best.
    ratios?.into_iter().max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::tests::cell;

    #[test]
    fn the_best_fixed_size_is_what_counts() {
        let cells =
            vec![cell("fixed-16", 500, 9), cell("fixed-64", 400, 9), cell("+chunks", 420, 9)];
        let comparison = Comparison {
            cells,
            compared: None,
            mismatches: Vec::new(),
            clouds: Vec::new(),
            blocks: 3,
            partial: false,
        };
        assert_eq!(over_best(&comparison, "mid"), Some(421.5 / 401.5));
        assert_eq!(over_best(&comparison, "low"), None);
    }
}
