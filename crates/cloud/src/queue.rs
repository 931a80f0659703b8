//! Backpressure: bounds the rows of one session that wait for the scheduler.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use crate::load::LoadGauge;

/// Rows of one session on their way to the scheduler or waiting there. One task waits for room at a
/// time.
#[derive(Debug)]
pub(crate) struct RowQueue {
    limit: usize,
    rows: AtomicUsize,
    freed: Notify,
    load: Arc<LoadGauge>,
}

/// Rows counted as waiting until this is dropped.
#[derive(Debug)]
pub(crate) struct QueuedRows {
    queue: Arc<RowQueue>,
    rows: usize,
}

impl RowQueue {
    pub(crate) fn new(limit: usize, load: Arc<LoadGauge>) -> Arc<Self> {
        Arc::new(Self { limit, rows: AtomicUsize::new(0), freed: Notify::new(), load })
    }

    /// Waits until `rows` more keep to the limit.
    pub(crate) async fn room_for(&self, rows: usize) {
        self.room_within(self.limit, rows).await;
    }

    /// Waits only when twice the limit is on its way: the scheduler will forget what is queued as
    /// soon as it sees these rows, but a device that abandons one append after the other must not
    /// fill the memory before that.
    pub(crate) async fn room_for_newer_epoch(&self, rows: usize) {
        self.room_within(self.limit.saturating_mul(2), rows).await;
    }

    async fn room_within(&self, limit: usize, rows: usize) {
        while self.rows.load(Ordering::Acquire).saturating_add(rows) > limit {
            self.freed.notified().await;
        }
    }

    /// Counts `rows`, over the limit or not.
    pub(crate) fn push(self: &Arc<Self>, rows: usize) -> QueuedRows {
        self.rows.fetch_add(rows, Ordering::AcqRel);
        self.load.queued(rows);
        QueuedRows { queue: Arc::clone(self), rows }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.load(Ordering::Acquire) == 0
    }
}

impl Drop for QueuedRows {
    fn drop(&mut self) {
        self.queue.load.unqueued(self.rows);
        self.queue.rows.fetch_sub(self.rows, Ordering::AcqRel);
        // A stored wake-up, so that one between the waiter's look and its wait is not lost.
        self.queue.freed.notify_one();
    }
}
