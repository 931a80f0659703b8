//! Chunks of a prompt: sizes and times on device, link and cloud.

use serde::Serialize;
use tricorn_core::AppendKind;
use tricorn_device::{TraceEvent, TurnReport};

use crate::figures::ms;

/// One chunk of a prompt; times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chunk {
    /// Its rows.
    pub rows: usize,
    /// When it was handed over for the upload, since its device turned to the request.
    pub sent_ms: f64,
    /// When the cloud's answer to it was there.
    pub answered_ms: f64,
    /// How long it waited in the cloud.
    pub queue_ms: f64,
    /// How long the cloud computed it.
    pub compute_ms: f64,
}

impl Chunk {
    pub(super) fn all(report: &TurnReport) -> Vec<Self> {
        let mut chunks = Vec::new();
        for event in &report.trace {
            let TraceEvent::Sent { pos, rows, kind: AppendKind::Prompt, at: sent, .. } = *event
            else {
                continue;
            };
            let answer = report.trace.iter().find_map(|event| match *event {
                TraceEvent::Answered { pos: answered, at, timing, .. }
                    if answered == pos && at >= sent =>
                {
                    Some((at, timing))
                }
                _ => None,
            });
            let Some((answered, timing)) = answer else { continue };
            let [sent_ms, answered_ms, queue_ms, compute_ms] =
                [sent, answered, timing.queue, timing.compute].map(ms);
            chunks.push(Self { rows, sent_ms, answered_ms, queue_ms, compute_ms });
        }
        chunks
    }
}
