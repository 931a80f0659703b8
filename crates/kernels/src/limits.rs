//! Limits of the machine, measured beside the model: the same neighbours disturb both.

mod arithmetic;

use std::{
    hint::black_box,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use memmap2::{Advice, MmapMut};
use serde::Serialize;

/// Bytes to read: several times the caches of any machine.
const BUFFER: usize = 1 << 30;
/// How often a limit is measured; the best counts.
const ATTEMPTS: usize = 5;

/// What all threads together reach, each with its own share of the work.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    /// Threads that took part.
    pub threads: usize,
    /// Bytes a second read from memory, in order.
    pub bandwidth: f64,
    /// Multiplications and additions of f32 a second, in registers.
    pub float_ops: f64,
    /// Multiplications and additions of int8 into int32 a second, in registers; none where the
    /// instruction set has no such product that is known here.
    pub int8_ops: Option<f64>,
}

impl Limits {
    /// Measures for about a second, with 1 GiB of memory.
    #[must_use]
    pub fn measure(threads: usize) -> Self {
        Self {
            threads,
            bandwidth: bandwidth(threads, BUFFER).unwrap_or_default(),
            float_ops: arithmetic::float_ops(threads),
            int8_ops: arithmetic::int8_ops(threads),
        }
    }
}

/// Bytes a second that `threads` read of a buffer of `bytes`; none where there is no memory for it.
fn bandwidth(threads: usize, bytes: usize) -> Option<f64> {
    let mut buffer = MmapMut::map_anon(bytes).ok()?;
    #[cfg(target_os = "linux")]
    // Small pages cost some bandwidth, which would make the model look faster; a system without
    // large ones has none to lose.
    let _ = buffer.advise(Advice::HugePage);
    buffer.fill(1);
    let buffer = &buffer[..];
    let share = bytes / threads;
    let time = best(threads, |thread| sum(&buffer[thread * share..][..share]));
    Some((share * threads) as f64 / time.as_secs_f64())
}

/// The time of the slowest thread in the best attempt.
fn best<R>(threads: usize, work: impl Fn(usize) -> R + Sync) -> Duration {
    let attempt = || {
        let together = Barrier::new(threads);
        let timed = |thread: usize| {
            together.wait();
            let started = Instant::now();
            black_box(work(thread));
            started.elapsed()
        };
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..threads).map(|thread| scope.spawn(move || timed(thread))).collect();
            let own = timed(0);
            others.into_iter().filter_map(|other| other.join().ok()).fold(own, Duration::max)
        })
    };
    (0..ATTEMPTS).map(|_| attempt()).min().unwrap_or_default().max(Duration::from_nanos(1))
}

/// Reads everything once, with the widest loads: narrow ones do not keep enough lines on their way.
fn sum(bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F.
            #[allow(unsafe_code)]
            return unsafe { sum_512(bytes) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            #[allow(unsafe_code)]
            return unsafe { sum_256(bytes) };
        }
    }
    lanes::<16, 128>(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn sum_512(bytes: &[u8]) -> u64 {
    lanes::<64, 512>(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn sum_256(bytes: &[u8]) -> u64 {
    lanes::<32, 256>(bytes)
}

/// Sums of `LANES` lanes of eight bytes, `LINE` bytes at a time: independent, so that the
/// compiler's vector loads wait for memory alone.
#[inline(always)]
fn lanes<const LANES: usize, const LINE: usize>(bytes: &[u8]) -> u64 {
    let mut lanes = [0_u64; LANES];
    for line in bytes.as_chunks::<LINE>().0 {
        for (lane, word) in lanes.iter_mut().zip(line.as_chunks::<8>().0) {
            *lane = lane.wrapping_add(u64::from_ne_bytes(*word));
        }
    }
    lanes.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_positive_for_any_number_of_threads() {
        for threads in [1, 3] {
            assert!(bandwidth(threads, 1 << 20).unwrap() > 0.0);
            assert!(arithmetic::float_ops(threads) > 0.0);
            assert!(arithmetic::int8_ops(threads).is_none_or(|ops| ops > 0.0));
        }
    }

    #[test]
    fn every_byte_is_read() {
        let mut bytes = vec![0_u8; 1024];
        assert_eq!(sum(&bytes), 0);
        for at in [0, 511, 1023] {
            bytes[at] = 1;
            assert_ne!(sum(&bytes), 0, "byte {at}");
            bytes[at] = 0;
        }
    }
}
