//! CPU load of this machine, so that a cell measured on a saturated one can be marked.

/// Above this share of all cores' time a cell's figures are those of the machine, not of the
/// method.
pub(crate) const SATURATED: f64 = 0.8;

/// Time counters of all cores, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    busy: u64,
    total: u64,
}

impl CpuTimes {
    /// The counters now; none where the system has no `/proc/stat`.
    pub(crate) fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Reads the line `cpu user nice system idle iowait irq softirq steal ...`. Time stolen by
    /// other virtual machines is busy: it was not ours.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
        // Guest time, from the ninth field on, is part of user time already.
        let fields: Vec<u64> =
            line.split_whitespace().take(8).map(str::parse).collect::<Result<_, _>>().ok()?;
        let idle = fields.get(3)? + fields.get(4).copied().unwrap_or_default();
        let total = fields.iter().sum();
        Some(Self { busy: total - idle, total })
    }

    /// Adds the time between two readings.
    pub(crate) fn add(&mut self, from: Self, to: Self) {
        self.busy += to.busy.saturating_sub(from.busy);
        self.total += to.total.saturating_sub(from.total);
    }

    /// No time at all.
    pub(crate) const fn zero() -> Self {
        Self { busy: 0, total: 0 }
    }

    /// Busy time over all time, 0 to 1; none when no time has passed.
    pub(crate) fn share(self) -> Option<f64> {
        (self.total > 0).then(|| self.busy as f64 / self.total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_time_is_not_busy() {
        let before = CpuTimes::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4\n").unwrap();
        let after = CpuTimes::parse("cpu  130 5 60 840 60 1 2 2 30 0\nintr 5\n").unwrap();
        let mut spent = CpuTimes::zero();
        assert_eq!(spent.share(), None);
        spent.add(before, after);
        assert_eq!(spent, CpuTimes { busy: 50, total: 100 });
        assert_eq!(spent.share(), Some(0.5));
    }

    #[test]
    fn other_systems_have_no_figure() {
        assert_eq!(CpuTimes::parse(""), None);
        assert_eq!(CpuTimes::parse("cpu a b c d e"), None);
        assert_eq!(CpuTimes::parse("cpu 1 2"), None);
    }
}
