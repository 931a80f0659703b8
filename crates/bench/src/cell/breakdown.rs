//! Breakdown of a time to first token: its least possible value, and where the rest went.

use std::time::Duration;

use serde::Serialize;
use tricorn_core::{AnswerTiming, AppendKind};
use tricorn_device::{TraceEvent, TurnReport};
use tricorn_netem::LinkConfig;

use crate::figures::ms;

/// What the trace of a request's prompt shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstToken {
    /// From the start to the first token.
    pub(crate) ttft: Duration,
    /// Until the first chunk was ready to be sent.
    pub(crate) first_chunk: Duration,
    /// Bytes of the prompt's appends.
    pub(crate) upload_bytes: u64,
    /// The cloud's computing for the chunk that took it least.
    pub(crate) least_compute: Duration,
    /// How long the last chunk waited in the cloud.
    pub(crate) last_queue: Duration,
    /// The cloud's computing for the last chunk.
    pub(crate) last_compute: Duration,
    /// The last layers and the head, for the first token.
    pub(crate) head: Duration,
}

/// A time to first token in parts, in milliseconds.
///
/// The parts and the bound are of this request in this mode. A report compares times with the least
/// bound that the same request had in any mode of the run, since a mode's own bound depends on how
/// it cuts the prompt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Breakdown {
    /// The device's first chunk; later ones are computed while the link is busy.
    pub device: f64,
    /// The prompt's bytes at the rate that the link was set to.
    pub upload: f64,
    /// The link's delays.
    pub rtt: f64,
    /// The last chunk's wait in the cloud: for other devices' batches, or for its own prompt's
    /// earlier chunks where the cloud does not keep up.
    pub wait: f64,
    /// The last chunk's computing in the cloud.
    pub compute: f64,
    /// The device's last layers and head.
    pub head: f64,
    /// All else: the link was idle, because the device computed the next chunk or held it back, or
    /// slower than it was set to.
    pub other: f64,
    /// What this mode could not have undercut: device, upload, rtt and head as above, and the
    /// cloud's computing for its cheapest chunk.
    pub bound: f64,
}

impl FirstToken {
    /// What a turn's trace shows; none where no token came, or nothing was sent.
    pub(crate) fn of(report: &TurnReport) -> Option<Self> {
        let judged = |event: &TraceEvent| match event {
            TraceEvent::Judged { tokens, .. } => *tokens > 0,
            _ => false,
        };
        let before = || report.trace.iter().take_while(|event| !judged(event));
        let prompt = before().filter_map(|event| match *event {
            TraceEvent::Sent { pos, bytes, kind: AppendKind::Prompt, at, .. } => {
                Some((pos, bytes, at))
            }
            _ => None,
        });
        let prompt: Vec<_> = prompt.collect();
        let answers = before().filter_map(|event| match *event {
            TraceEvent::Answered { pos, timing, .. } if prompt.iter().any(|sent| sent.0 == pos) => {
                Some(timing)
            }
            _ => None,
        });
        let answers: Vec<AnswerTiming> = answers.collect();
        let last = answers.last()?;
        let head = report.trace.iter().find_map(|event| match *event {
            TraceEvent::Judged { start, end, tokens } if tokens > 0 => {
                Some(end.saturating_sub(start))
            }
            _ => None,
        })?;
        Some(Self {
            ttft: report.ttft,
            first_chunk: prompt.first()?.2,
            upload_bytes: prompt.iter().map(|sent| sent.1).sum(),
            least_compute: answers.iter().map(|timing| timing.compute).min()?,
            last_queue: last.queue,
            last_compute: last.compute,
            head,
        })
    }
}

impl Breakdown {
    /// The parts of a first token over this link.
    pub(crate) fn of(first: &FirstToken, link: &LinkConfig) -> Self {
        let upload = first.upload_bytes as f64 / link.up.bytes_per_s * 1e3;
        let rtt = ms(link.rtt());
        let [device, head] = [first.first_chunk, first.head].map(ms);
        let [wait, compute] = [first.last_queue, first.last_compute].map(ms);
        let other = ms(first.ttft) - (device + upload + rtt + wait + compute + head);
        let bound = device + upload + rtt + ms(first.least_compute) + head;
        Self { device, upload, rtt, wait, compute, head, other, bound }
    }

    /// Names of the parts in the order of time, with their values; they sum to the time to first
    /// token.
    #[must_use]
    pub const fn parts(&self) -> [(&'static str, f64); 7] {
        [
            ("device", self.device),
            ("upload", self.upload),
            ("round trip", self.rtt),
            ("cloud wait", self.wait),
            ("cloud compute", self.compute),
            ("head", self.head),
            ("other", self.other),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tricorn_netem::DirectionConfig;

    #[test]
    fn the_parts_sum_to_the_whole_and_the_bound_leaves_out_what_could_be_saved() {
        let millis = Duration::from_millis;
        let link = LinkConfig {
            up: DirectionConfig::new(1e6, millis(3)),
            down: DirectionConfig::new(2e6, millis(3)),
            seed: 0,
        };
        let first = FirstToken {
            ttft: millis(400),
            first_chunk: millis(10),
            upload_bytes: 300_000,
            least_compute: millis(20),
            last_queue: millis(15),
            last_compute: millis(30),
            head: millis(2),
        };
        let parts = Breakdown::of(&first, &link);
        assert_eq!(
            (parts.upload, parts.rtt, parts.bound),
            (300.0, 6.0, 10.0 + 300.0 + 6.0 + 20.0 + 2.0)
        );
        assert!((parts.other - 37.0).abs() < 1e-9);
        assert!((parts.parts().iter().map(|(_, value)| value).sum::<f64>() - 400.0).abs() < 1e-9);
    }

    #[test]
    fn an_unlimited_link_costs_no_upload() {
        let link = LinkConfig {
            up: DirectionConfig::UNLIMITED,
            down: DirectionConfig::UNLIMITED,
            seed: 0,
        };
        let first = FirstToken {
            ttft: Duration::from_millis(5),
            upload_bytes: 1 << 30,
            ..FirstToken::default()
        };
        assert_eq!(Breakdown::of(&first, &link).other, 5.0);
    }
}
