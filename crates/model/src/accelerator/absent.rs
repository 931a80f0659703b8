//! A build without accelerators: nothing of these types can be made, so nothing of them runs.

use super::ComputeDevice;
use crate::{
    error::ModelError,
    kv::{KvCache, KvError, KvPool},
    layer::SeqRows,
    source::ModelSource,
};
use std::{ops::Range, sync::Arc};

#[derive(Clone, Debug)]
pub(crate) enum Accelerator {}

impl Accelerator {
    pub(crate) fn open(device: ComputeDevice) -> Result<Option<Self>, ModelError> {
        device.feature().map_or(Ok(None), |feature| Err(ModelError::WithoutDevice { feature }))
    }

    pub(crate) fn device(&self) -> ComputeDevice {
        match *self {}
    }
}

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

#[derive(Debug)]
pub(crate) enum Head {}

impl Head {
    pub(crate) fn load(_: &ModelSource, accelerator: &Accelerator) -> Result<Self, ModelError> {
        match *accelerator {}
    }

    pub(crate) fn bytes(&self) -> usize {
        match *self {}
    }

    pub(crate) fn vocab(&self) -> usize {
        match *self {}
    }

    pub(crate) fn logits(&self, _: &[f32]) -> Result<Vec<f32>, ModelError> {
        match *self {}
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Kv {}

impl Kv {
    pub(crate) fn prepare(
        &mut self,
        _: &Arc<KvPool>,
        _: usize,
        _: usize,
        _: usize,
    ) -> Result<(), KvError> {
        match *self {}
    }
}
