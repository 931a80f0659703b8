//! The bounded memory that KV caches share.

use crate::error::KvError;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tricorn_kernels::KvFormat;

/// Memory that many caches draw blocks from, bounded, and the format in which they keep their
/// numbers.
#[derive(Debug)]
pub struct KvPool {
    format: KvFormat,
    limit_bytes: usize,
    used_bytes: AtomicUsize,
}

impl KvPool {
    /// A pool of at most `limit_bytes`, in the format of choice ([`KvFormat::F16`]).
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Self::with_format(limit_bytes, KvFormat::default())
    }

    /// A pool of at most `limit_bytes` in the given format.
    #[must_use]
    pub fn with_format(limit_bytes: usize, format: KvFormat) -> Arc<Self> {
        Arc::new(Self { format, limit_bytes, used_bytes: AtomicUsize::new(0) })
    }

    /// How the caches of this pool keep their numbers.
    pub fn format(&self) -> KvFormat {
        self.format
    }

    /// Bytes held by live caches.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self, bytes: usize) -> Result<(), KvError> {
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|&sum| sum <= self.limit_bytes)
            })
            .map(drop)
            .map_err(|_| KvError::Exhausted { limit_bytes: self.limit_bytes })
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
