//! Test parts: generations that are over.

use std::time::Duration;
use tricorn_core::{FinishReason, TurnStats};
use tricorn_device::{
    TurnReport,
    engine::{Finish, Finished},
};

/// A generation that ended so; `offline`: the device's drafter wrote of it alone.
pub(super) fn finished(finish: Finish, offline: bool) -> Finished {
    let report = TurnReport {
        token_ids: Vec::new(),
        finish: FinishReason::Stop,
        stats: TurnStats::default(),
        ttft: Duration::ZERO,
        gaps: Vec::new(),
        bytes_up: 0,
        bytes_down: 0,
        trace: Vec::new(),
        wire: Vec::new(),
        overruns: 0,
    };
    Finished { finish, report, prompt_tokens: 3, cached_tokens: 0, completion_tokens: 2, offline }
}
