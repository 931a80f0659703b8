//! Link of a device, as appends and their answers show it.

use std::time::Duration;

use super::{AnswerTiming, Average, Received};

/// Fewer bytes say nothing about a rate: they fit into buffers on the way.
const LEAST_BYTES: u64 = 2 * 1024;
/// Shorter times are measured too coarsely.
const LEAST_TIME: Duration = Duration::from_millis(1);
/// So many bytes within less than that say at least how fast the link is.
const BURST_BYTES: u64 = 16 * 1024;

/// Rate of the uplink and round trip.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkMonitor {
    uplink: Average,
    /// What the uplink carries at least. A receiver that was held up finds all of a message at
    /// once: this counts while nothing else is known.
    burst: Average,
    rtt: Average,
    /// What opening a session took: no less than a round trip, and more where the connection was
    /// not there yet.
    opened: Option<f64>,
}

impl LinkMonitor {
    /// A session was opened, which took so long.
    pub(super) fn opened(&mut self, time: Duration) {
        self.opened = Some(time.as_secs_f64());
    }

    /// An append of `bytes` was answered; `elapsed` is the time since it was handed over when it
    /// was alone on its way, and more than that time unless its answer was `awaited`.
    pub(super) fn answered(
        &mut self,
        bytes: u64,
        elapsed: Option<Duration>,
        awaited: bool,
        timing: &AnswerTiming,
    ) {
        if let Some(received) = timing.received {
            self.received(received);
        }
        let Some(elapsed) = elapsed else { return };
        let upload = match self.uplink() {
            Some(rate) if rate > 0.0 => bytes as f64 / rate,
            // A large append's upload cannot be told from the round trip.
            _ if bytes > LEAST_BYTES => return,
            _ => 0.0,
        };
        let rest =
            elapsed.saturating_sub(timing.queue).saturating_sub(timing.compute).as_secs_f64()
                - upload;
        if awaited || self.seconds().is_some_and(|rtt| rest < rtt) {
            self.rtt.add(rest.max(0.0));
        }
    }

    /// The receiver's view: what the sender sees is how fast its own buffers fill.
    fn received(&mut self, Received { bytes, time }: Received) {
        if time >= LEAST_TIME && bytes >= LEAST_BYTES {
            self.uplink.add(bytes as f64 / time.as_secs_f64());
        } else if time < LEAST_TIME && bytes >= BURST_BYTES {
            let at_least = bytes as f64 / LEAST_TIME.as_secs_f64();
            match self.uplink.get() {
                None => self.burst.add(at_least),
                Some(rate) if rate < at_least => self.uplink.add(at_least),
                Some(_) => {}
            }
        }
    }

    /// Bytes per second.
    pub(super) fn uplink(&self) -> Option<f64> {
        self.uplink.get().or_else(|| self.burst.get())
    }

    pub(super) fn rtt(&self) -> Option<Duration> {
        self.seconds().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// The round trip; what opening a session took while no append has shown it.
    fn seconds(&self) -> Option<f64> {
        self.rtt.get().or(self.opened)
    }
}
