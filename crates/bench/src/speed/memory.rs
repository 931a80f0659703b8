//! Memory that this process takes.

use std::fs;

use serde::Serialize;

/// The system's figures for this process, in bytes; mapped files count as far as they are in
/// memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Now.
    pub resident: usize,
    /// At most since the process began.
    pub peak: usize,
}

impl Memory {
    /// The figures now; none where the system has no `/proc`.
    pub(super) fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let kilobytes = |field: &str| {
            let line =
                status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix("kB")?.trim_end().parse::<usize>().ok()? * 1024)
        };
        Some(Self { resident: kilobytes("VmRSS")?, peak: kilobytes("VmHWM")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_figures_are_in_kilobytes() {
        let status = "Name:\ttricorn\nVmPeak:\t  999 kB\nVmHWM:\t   300 kB\nVmRSS:\t   200 kB\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 200 << 10, peak: 300 << 10 }));
        assert_eq!(Memory::parse("Name:\ttricorn\n"), None);
    }
}
