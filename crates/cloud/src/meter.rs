//! Meter of a connection: times a device's bytes where they arrive, since its own socket takes them
//! long before the link does.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tricorn_core::Received;

/// Reads remembered. At 1.4 KiB a read, the least that a packet brings, a third of a megabyte:
/// enough to tell a link's speed by.
const MOST_READS: usize = 256;

/// The last reads of one connection.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<Reads>);

impl Meter {
    /// How the last `length` bytes came in; `None` when they came in one read. To be asked as soon
    /// as a message of that length is there.
    ///
    /// Bytes of other streams that came in between count as well: the link carried them too.
    pub(crate) fn received(&self, length: usize) -> Option<Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).received(length)
    }

    pub(crate) fn read(&self, bytes: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now(), bytes);
    }
}

#[derive(Debug, Default)]
struct Reads {
    /// When, and how many bytes had come by then, in order.
    reads: VecDeque<(Instant, u64)>,
}

impl Reads {
    fn push(&mut self, at: Instant, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let before = self.reads.back().map_or(0, |&(_, total)| total);
        if self.reads.len() == MOST_READS {
            self.reads.pop_front();
        }
        self.reads.push_back((at, before + u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// From the read with the first of the last `length` bytes, or the oldest remembered, to the
    /// last read. What came before that first read may be any time ago: its own bytes do not count,
    /// since nobody knows how long they took.
    fn received(&self, length: usize) -> Option<Received> {
        let &(end, total) = self.reads.back()?;
        let begin = total.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX));
        let &(start, by_then) = self.reads.iter().find(|&&(_, by_then)| by_then > begin)?;
        let received =
            Received { bytes: total - by_then, time: end.saturating_duration_since(start) };
        (received.bytes > 0 && !received.time.is_zero()).then_some(received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// (milliseconds, bytes) of each read.
    fn reads(reads: &[(u64, usize)]) -> Reads {
        let start = Instant::now();
        let mut made = Reads::default();
        reads.iter().for_each(|&(at, bytes)| made.push(start + Duration::from_millis(at), bytes));
        made
    }

    fn received(bytes: u64, ms: u64) -> Option<Received> {
        Some(Received { bytes, time: Duration::from_millis(ms) })
    }

    #[test]
    fn one_read_tells_nothing() {
        assert_eq!(reads(&[]).received(100), None);
        assert_eq!(reads(&[(0, 500)]).received(100), None);
        assert_eq!(reads(&[(0, 500), (9, 100)]).received(100), None);
        // Nor do two at the same instant.
        assert_eq!(reads(&[(5, 500), (5, 500)]).received(1000), None);
    }

    #[test]
    fn from_the_first_read_to_the_last() {
        let three = reads(&[(0, 400), (10, 300), (30, 300)]);
        assert_eq!(three.received(1000), received(600, 30));
        // The first of 450 bytes came with the second read.
        assert_eq!(three.received(450), received(300, 20));
    }

    #[test]
    fn a_pause_before_the_first_byte_does_not_count() {
        let paused = reads(&[(0, 400), (5000, 300), (5010, 300), (5020, 400)]);
        assert_eq!(paused.received(1000), received(700, 20));
        // A first read that holds the end of the message before it.
        assert_eq!(paused.received(900), received(700, 20));
    }

    #[test]
    fn reads_beyond_memory_are_left_out() {
        let mut many: Vec<(u64, usize)> = (0..1000).map(|at| (at, 10)).collect();
        many.push((1000, 0));
        let many = reads(&many);
        assert_eq!(many.reads.len(), MOST_READS);
        assert_eq!(many.received(10_000), received(2550, 255));
    }
}
