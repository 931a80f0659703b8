//! The head in a build without accelerators: none can be made, so nothing of it runs.

use crate::{compute_device::accelerator::Accelerator, error::ModelError, source::ModelSource};

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
