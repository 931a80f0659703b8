//! An accelerator that has been opened.

use crate::compute_device::ComputeDevice;
use crate::error::ModelError;
use candle_core::{DType, Device, Error};

/// A device of candle, ready to compute.
#[derive(Clone, Debug)]
pub(crate) struct Accelerator {
    name: ComputeDevice,
    device: Device,
}

impl Accelerator {
    /// Opens a device; `None` for the processor, which needs no opening.
    ///
    /// # Errors
    /// When the program was built without it, or the machine has none.
    pub(crate) fn open(name: ComputeDevice) -> Result<Option<Self>, ModelError> {
        let device = match name {
            ComputeDevice::Cpu => return Ok(None),
            ComputeDevice::Cuda(index) if cfg!(feature = "cuda") => Device::new_cuda(index),
            ComputeDevice::Metal(index) if cfg!(feature = "metal") => Device::new_metal(index),
            ComputeDevice::CandleCpu => Ok(Device::Cpu),
            ComputeDevice::Cuda(_) => return Err(ModelError::WithoutDevice { feature: "cuda" }),
            ComputeDevice::Metal(_) => return Err(ModelError::WithoutDevice { feature: "metal" }),
        };
        let problem =
            |error: Error| ModelError::NoDevice { device: name, problem: one_line(&error) };
        Ok(Some(Self { name, device: device.map_err(problem)? }))
    }

    pub(crate) fn device(&self) -> ComputeDevice {
        self.name
    }

    pub(crate) fn candle(&self) -> &Device {
        &self.device
    }

    /// The format in which matrices stored as `dtype` are held and multiplied.
    pub(crate) fn computed(&self, dtype: DType) -> DType {
        // candle's matrix product on the processor knows no bf16, and tests want the engine's
        // numbers.
        if self.device.is_cpu() { DType::F32 } else { dtype }
    }

    pub(crate) fn failed(&self, error: Error) -> ModelError {
        ModelError::DeviceFailed { device: self.name, problem: one_line(&error) }
    }
}

/// candle's errors may carry a backtrace behind the first line.
pub(crate) fn one_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
