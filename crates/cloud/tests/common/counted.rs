//! A middle that counts the sessions it remembers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tricorn_cloud::{BatchEntry, MiddleModel};

use super::HIDDEN;

/// Hands rows on as they are.
#[derive(Clone, Default)]
pub struct Counted(Arc<AtomicUsize>);

pub struct CountedKv {
    live: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for CountedKv {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl MiddleModel for Counted {
    type Kv = CountedKv;
    type Error = String;

    fn hidden(&self) -> usize {
        HIDDEN
    }

    fn new_kv(&self, _: usize) -> CountedKv {
        self.0.fetch_add(1, Ordering::SeqCst);
        CountedKv { live: Arc::clone(&self.0), len: 0 }
    }

    fn prepare(&self, kv: &mut CountedKv, pos: usize, _: usize) -> Result<(), String> {
        assert!(pos <= kv.len);
        kv.len = pos;
        Ok(())
    }

    fn forward(
        &self,
        batch: &mut [BatchEntry<'_, CountedKv>],
        _: &mut [f32],
    ) -> Result<(), String> {
        batch.iter_mut().for_each(|entry| entry.kv.len += entry.rows);
        Ok(())
    }
}

impl Counted {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub async fn becomes(&self, count: usize) {
        while self.count() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
