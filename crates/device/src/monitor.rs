//! Shared monitor: the measurements of one device, shared by its conversations.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tricorn_core::DeviceMonitor;

/// The measurements of one device, shared by its conversations.
#[derive(Clone, Debug, Default)]
pub struct SharedMonitor(Arc<Mutex<DeviceMonitor>>);

impl SharedMonitor {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The measurements, for as long as the guard lives; conversations that measure wait for it.
    pub fn lock(&self) -> MutexGuard<'_, DeviceMonitor> {
        // A panic elsewhere leaves at worst a measurement half taken in.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
