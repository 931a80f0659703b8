//! Configuration of an engine.

use crate::turn::Options;
use std::time::Duration;

/// Bounds and options of an engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Conversations held, and requests that run at a time; at least one.
    pub slots: usize,
    /// Requests that wait for a slot; one more is refused.
    pub queue: usize,
    /// Options of the conversations; they share its measurements and its processor.
    pub options: Options,
    /// Wait for a client whose updates fill the buffer, before it is given up. Waits use this up,
    /// and each update that it takes gives one second back: a client that takes nothing is given up
    /// after this time, one that takes an update a second never.
    pub client_patience: Duration,
    /// A conversation that nobody goes on with for so long gives back its memory, here and in the
    /// cloud.
    pub idle: Duration,
    /// Behaviour when the cloud is out of reach.
    pub offline: Offline,
    /// Rest of a cloud that is out of reach, before it is tried again.
    pub rest: Duration,
}

/// Behaviour when the cloud is out of reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offline {
    /// The request fails.
    #[default]
    Refuse,
    /// The device's drafter answers alone, where there is one. The text is then not the model's,
    /// and is marked so.
    Draft,
}

impl Default for EngineConfig {
    /// Four slots and a queue of 64; clients are waited for for 30 seconds, conversations kept for
    /// ten minutes, and a cloud is tried again after five seconds.
    fn default() -> Self {
        Self {
            slots: 4,
            queue: 64,
            options: Options::default(),
            client_patience: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            offline: Offline::Refuse,
            rest: Duration::from_secs(5),
        }
    }
}
