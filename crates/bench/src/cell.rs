//! Cells: the measurements of one mode under one load.

mod breakdown;
mod chunk;

use std::time::Duration;

use serde::{Serialize, Serializer};
use tricorn_core::HiddenCodec;
use tricorn_device::{TraceEvent, TurnReport};

use crate::{
    figures::{Summary, ms, ratio},
    fleet::{Failure, Outcome},
    run::{CpuTimes, SATURATED},
    scenario::Scenario,
};

pub use breakdown::Breakdown;
use breakdown::FirstToken;
pub use chunk::Chunk;

/// One mode under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The load's name.
    pub load: String,
    /// Requests a second.
    pub rate: f64,
    /// The mode's name.
    pub mode: String,
    /// How its hidden rows were written on the wire.
    #[serde(serialize_with = "codec_name")]
    pub codec: HiddenCodec,
    /// Requests that were answered.
    pub samples: Vec<Sample>,
    /// Requests that were not.
    pub failures: Vec<FailedRequest>,
    /// Busy share of all of this machine's cores while the cell was measured; none where the system
    /// does not say.
    pub cpu_share: Option<f64>,
    #[serde(skip)]
    cpu: CpuTimes,
}

/// One answered request; times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// Its number in the run.
    pub request: usize,
    /// What device it ran on.
    pub device: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub new_tokens: usize,
    /// From its arrival until its device turned to it.
    pub waited_ms: f64,
    /// Time to first token, from when its device turned to it.
    pub ttft_ms: f64,
    /// Times between tokens; the tokens of one round share its time.
    pub gaps_ms: Vec<f64>,
    /// Times between arrivals of tokens, as a reader of the text sees them: what a round confirmed
    /// arrives at once.
    pub pauses_ms: Vec<f64>,
    /// Verification rounds.
    pub rounds: usize,
    /// Tokens gained in them.
    pub verified: usize,
    /// Drafts proposed.
    pub drafted: usize,
    /// Drafts accepted.
    pub accepted: usize,
    /// Bytes of messages to the cloud.
    pub bytes_up: u64,
    /// Bytes of messages from it.
    pub bytes_down: u64,
    /// Connections lost and replaced.
    pub reconnects: usize,
    /// Operations of the device that took longer than its throttle.
    pub overruns: usize,
    /// Where the time to first token went.
    pub breakdown: Option<Breakdown>,
    /// How the prompt went up.
    pub chunks: Vec<Chunk>,
}

/// A request without an answer.
#[derive(Clone, Debug, Serialize)]
pub struct FailedRequest {
    /// Its number in the run.
    pub request: usize,
    /// What happened.
    pub reason: String,
}

impl Sample {
    fn new(outcome: &Outcome, report: &TurnReport, scenario: &Scenario, hidden: usize) -> Self {
        let stats = &report.stats;
        let first = FirstToken::of(report);
        Self {
            request: outcome.request,
            device: scenario.device_name(outcome.device),
            prompt_tokens: stats.prompt_tokens,
            new_tokens: report.token_ids.len(),
            waited_ms: ms(outcome.waited),
            ttft_ms: ms(report.ttft),
            gaps_ms: report.gaps.iter().map(|&gap| ms(gap)).collect(),
            pauses_ms: pauses(report),
            rounds: stats.rounds,
            verified: stats.verified,
            drafted: stats.drafted,
            accepted: stats.accepted,
            bytes_up: report.bytes_up,
            bytes_down: report.bytes_down,
            reconnects: stats.lost_connections,
            overruns: report.overruns,
            breakdown: first
                .map(|first| Breakdown::of(&first, &scenario.link_config(outcome.device, hidden))),
            chunks: Chunk::all(report),
        }
    }

    /// Mean time between tokens; none for a text of one token.
    #[must_use]
    pub fn tbt_ms(&self) -> Option<f64> {
        (!self.gaps_ms.is_empty())
            .then(|| self.gaps_ms.iter().sum::<f64>() / self.gaps_ms.len() as f64)
    }
}

impl Cell {
    pub(crate) fn new(load: &str, rate: f64, mode: &str, codec: HiddenCodec) -> Self {
        let (samples, failures) = (Vec::new(), Vec::new());
        Self {
            load: load.to_owned(),
            rate,
            mode: mode.to_owned(),
            codec,
            samples,
            failures,
            cpu_share: None,
            cpu: CpuTimes::zero(),
        }
    }

    /// Takes in a request's outcome for a model of this hidden size; a request that was stopped
    /// leaves no trace.
    pub(crate) fn take(&mut self, outcome: &Outcome, scenario: &Scenario, hidden: usize) {
        match &outcome.result {
            Ok(report) => self.samples.push(Sample::new(outcome, report, scenario, hidden)),
            Err(Failure::Stopped) => {}
            Err(failure) => self
                .failures
                .push(FailedRequest { request: outcome.request, reason: failure.to_string() }),
        }
    }

    pub(crate) fn add_cpu(&mut self, from: Option<CpuTimes>, to: Option<CpuTimes>) {
        if let (Some(from), Some(to)) = (from, to) {
            self.cpu.add(from, to);
            self.cpu_share = self.cpu.share();
        }
    }

    /// Time to first token, in milliseconds.
    #[must_use]
    pub fn ttft(&self) -> Option<Summary> {
        Summary::of(self.samples.iter().map(|sample| sample.ttft_ms))
    }

    /// Time between tokens, in milliseconds, over the tokens of all requests.
    #[must_use]
    pub fn tbt(&self) -> Option<Summary> {
        Summary::of(self.samples.iter().flat_map(|sample| sample.gaps_ms.iter().copied()))
    }

    /// Time between arrivals of tokens, in milliseconds, over the arrivals of all requests.
    #[must_use]
    pub fn pause(&self) -> Option<Summary> {
        Summary::of(self.samples.iter().flat_map(|sample| sample.pauses_ms.iter().copied()))
    }

    /// How long requests waited for their device, in milliseconds.
    #[must_use]
    pub fn waited(&self) -> Option<Summary> {
        Summary::of(self.samples.iter().map(|sample| sample.waited_ms))
    }

    /// The share of the mean time to first token that the upload and the round trip take, of
    /// requests whose time is known in parts.
    #[must_use]
    pub fn transmission_share(&self) -> Option<f64> {
        let known =
            || self.samples.iter().filter_map(|sample| Some((sample.ttft_ms, sample.breakdown?)));
        ratio(
            Summary::of(known().map(|(_, parts)| parts.upload + parts.rtt)),
            Summary::of(known().map(|(ttft, _)| ttft)),
        )
    }

    /// Tokens gained by a verification round; none before a round.
    #[must_use]
    pub fn tokens_per_round(&self) -> Option<f64> {
        let [rounds, verified] = [|s: &Sample| s.rounds, |s: &Sample| s.verified]
            .map(|count| self.samples.iter().map(count).sum::<usize>());
        (rounds > 0).then(|| verified as f64 / rounds as f64)
    }

    /// Bytes a request, up and down.
    #[must_use]
    pub fn bytes_per_request(&self) -> (f64, f64) {
        let mean = |count: fn(&Sample) -> u64| {
            self.samples.iter().map(count).sum::<u64>() as f64 / self.samples.len().max(1) as f64
        };
        (mean(|sample| sample.bytes_up), mean(|sample| sample.bytes_down))
    }

    /// The share of requests, failed ones included, that met the scenario's objective.
    #[must_use]
    pub fn slo_attainment(&self, scenario: &Scenario) -> Option<f64> {
        let (ttft, tbt) = (ms(scenario.slo.ttft), ms(scenario.slo.tbt));
        let met = |sample: &&Sample| {
            sample.ttft_ms <= ttft && sample.tbt_ms().is_none_or(|mean| mean <= tbt)
        };
        let all = self.samples.len() + self.failures.len();
        (all > 0).then(|| self.samples.iter().filter(met).count() as f64 / all as f64)
    }

    /// Whether this machine was too busy for the cell's figures to be the method's.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        self.cpu_share.is_some_and(|share| share > SATURATED)
    }
}

fn codec_name<S: Serializer>(codec: &HiddenCodec, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(codec.name())
}

/// From each arrival of tokens to the next, in milliseconds.
fn pauses(report: &TurnReport) -> Vec<f64> {
    let arrivals = report.trace.iter().filter_map(|event| match *event {
        TraceEvent::Judged { end, tokens, .. } if tokens > 0 => Some(end),
        _ => None,
    });
    let arrivals: Vec<Duration> = arrivals.collect();
    arrivals.windows(2).map(|pair| ms(pair[1].saturating_sub(pair[0]))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tricorn_core::TurnStats;

    /// A request with this time to first token and these gaps, in milliseconds; every round gained
    /// two tokens.
    pub(crate) fn outcome(request: usize, ttft: u64, gaps: &[u64]) -> Outcome {
        let report = TurnReport {
            token_ids: vec![0; gaps.len() + 1],
            finish: FinishReason::Length,
            stats: TurnStats {
                prompt_tokens: 10,
                rounds: gaps.len() / 2,
                verified: gaps.len(),
                ..TurnStats::default()
            },
            ttft: Duration::from_millis(ttft),
            gaps: gaps.iter().map(|&gap| Duration::from_millis(gap)).collect(),
            bytes_up: 1000,
            bytes_down: 500,
            trace: Vec::new(),
            wire: Vec::new(),
            overruns: 0,
        };
        Outcome { request, device: 0, waited: Duration::from_millis(5), result: Ok(report) }
    }
    use tricorn_core::FinishReason;

    pub(crate) fn cell(mode: &str, ttft: u64, gap: u64) -> Cell {
        let scenario = Scenario::named("paper-proportions").unwrap();
        let mut cell = Cell::new("mid", 0.5, mode, HiddenCodec::F16);
        for request in 0..4 {
            cell.take(&outcome(request, ttft + request as u64, &[gap; 6]), &scenario, 256);
        }
        cell
    }

    #[test]
    fn figures_are_over_all_requests_and_tokens() {
        let scenario = Scenario::named("paper-proportions").unwrap();
        let mut cell = Cell::new("mid", 0.5, "hat", HiddenCodec::F16);
        cell.take(&outcome(0, 300, &[10, 10, 40, 40]), &scenario, 256);
        cell.take(&outcome(1, 1500, &[10, 10]), &scenario, 256);
        let late =
            Outcome { request: 2, device: 1, waited: Duration::ZERO, result: Err(Failure::Late) };
        cell.take(&late, &scenario, 256);
        cell.take(&Outcome { result: Err(Failure::Stopped), ..late }, &scenario, 256);
        assert_eq!((cell.samples.len(), cell.failures.len()), (2, 1));
        assert_eq!(cell.ttft().unwrap().mean, 900.0);
        assert_eq!((cell.tbt().unwrap().mean, cell.tbt().unwrap().count), (20.0, 6));
        assert_eq!(cell.tokens_per_round(), Some(2.0));
        assert_eq!(cell.bytes_per_request(), (1000.0, 500.0));
        // The second is late to its first token, the third has none.
        assert_eq!(cell.slo_attainment(&scenario), Some(1.0 / 3.0));
        assert_eq!(cell.transmission_share(), None);
    }

    #[test]
    fn a_pause_is_from_arrival_to_arrival_however_many_tokens_came() {
        let judged = |end: u64, tokens| {
            let end = Duration::from_millis(end);
            TraceEvent::Judged { start: end, end, tokens }
        };
        let mut three = outcome(0, 300, &[20, 20, 20, 40]);
        if let Ok(report) = &mut three.result {
            // The first token at 300 ms, three more at 360, nothing at 380, the last at 400.
            report.trace = vec![judged(300, 1), judged(360, 3), judged(380, 0), judged(400, 1)];
        }
        let mut cell = Cell::new("mid", 0.5, "hat", HiddenCodec::F16);
        cell.take(&three, &Scenario::named("quick").unwrap(), 256);
        assert_eq!(cell.samples[0].pauses_ms, [60.0, 40.0]);
        assert_eq!(
            cell.pause().map(|pause| (pause.count, pause.p50, pause.p99)),
            Some((2, 40.0, 60.0))
        );
    }

    #[test]
    fn transmission_is_upload_and_round_trip() {
        let mut cell = cell("u-shape", 400, 10);
        for (sample, upload) in cell.samples.iter_mut().zip([190.0, 194.0]) {
            sample.breakdown =
                Some(Breakdown { upload, rtt: 6.0, compute: 100.0, ..Breakdown::default() });
        }
        assert_eq!(
            cell.transmission_share(),
            Some(198.0 / 400.5),
            "of the two requests whose time is known in parts"
        );
    }

    #[test]
    fn an_empty_cell_has_no_figures() {
        let cell = Cell::new("low", 1.0, "hat", HiddenCodec::F16);
        assert!(cell.ttft().is_none() && cell.tokens_per_round().is_none() && !cell.is_saturated());
        assert_eq!(cell.slo_attainment(&Scenario::named("quick").unwrap()), None);
    }
}
