//! Resources of an engine, which its slots share.

use super::{
    cloud::breaker::Breaker, config::EngineConfig, figures::Totals, queue::roster::Roster,
};
use crate::{parts::DeviceParts, prompt::Prompter};
use std::sync::Arc;

/// The resources that the slots of an engine share.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) parts: Arc<DeviceParts>,
    pub(super) prompter: Arc<Prompter>,
    pub(super) roster: Arc<Roster>,
    pub(super) totals: Arc<Totals>,
    pub(super) breaker: Arc<Breaker>,
    pub(super) config: EngineConfig,
}
