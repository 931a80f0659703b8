//! The accelerator in a build without accelerators: none can be made, so nothing of it runs.

use crate::{compute_device::ComputeDevice, error::ModelError};

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
