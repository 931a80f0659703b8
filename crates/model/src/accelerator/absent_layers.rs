//! Layers in a build without accelerators: none can be made, so nothing of it runs.

use crate::{
    compute_device::accelerator::Accelerator,
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::SeqRows,
    source::ModelSource,
};
use std::{ops::Range, sync::Arc};

#[derive(Debug)]
pub(crate) enum Layers {}

impl Layers {
    pub(crate) fn load(
        _: &ModelSource,
        accelerator: &Accelerator,
        _: Range<usize>,
    ) -> Result<Self, ModelError> {
        match *accelerator {}
    }

    pub(crate) fn new_kv(&self, _: &Arc<KvPool>, _: usize) -> KvCache {
        match *self {}
    }

    pub(crate) fn bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn forward(&self, _: &mut [SeqRows<'_>], _: &mut [f32]) -> Result<(), ModelError> {
        match *self {}
    }
}
