//! The device that computes a model's layers and head.

#[cfg_attr(not(feature = "candle"), path = "compute_device/absent.rs")]
pub(crate) mod accelerator;

use std::{fmt, str::FromStr};

/// What computes a model's layers and head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComputeDevice {
    /// The processor, on the kernels of `tricorn-kernels`.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number; needs the feature `cuda`.
    Cuda(usize),
    /// The Apple GPU of this number; needs the feature `metal`.
    Metal(usize),
    /// The processor, on candle's kernels, to test without a GPU what runs on one; needs the
    /// feature `candle`.
    CandleCpu,
}

impl ComputeDevice {
    /// The cargo feature without which it is refused.
    #[must_use]
    pub const fn feature(self) -> Option<&'static str> {
        match self {
            Self::Cpu => None,
            Self::Cuda(_) => Some("cuda"),
            Self::Metal(_) => Some("metal"),
            Self::CandleCpu => Some("candle"),
        }
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Metal(index) => write!(f, "metal:{index}"),
            Self::CandleCpu => f.write_str("candle-cpu"),
        }
    }
}

/// A text that names no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no device; write cpu, cuda:N or metal:N")]
pub struct UnknownDevice(String);

impl FromStr for ComputeDevice {
    type Err = UnknownDevice;

    /// Reads `cpu`, `cuda:N`, `metal:N` or `candle-cpu`; a kind of GPU without a number is the
    /// first.
    fn from_str(text: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice(text.to_owned());
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => {
                (kind, Some(index.parse::<u16>().map_err(|_| unknown())?.into()))
            }
            None => (text, None),
        };
        match (kind, index) {
            ("cpu", None) => Ok(Self::Cpu),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            ("metal", index) => Ok(Self::Metal(index.unwrap_or(0))),
            ("candle-cpu", None) => Ok(Self::CandleCpu),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{accelerator::Accelerator, *};

    #[test]
    fn devices_are_read_as_they_are_written() {
        for device in [
            ComputeDevice::Cpu,
            ComputeDevice::Cuda(0),
            ComputeDevice::Cuda(3),
            ComputeDevice::Metal(0),
            ComputeDevice::CandleCpu,
        ] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(ComputeDevice::Cuda(0)));
        for text in
            ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:0:1", "candle-cpu:0", "cuda:99999"]
        {
            assert_eq!(text.parse::<ComputeDevice>(), Err(UnknownDevice(text.to_owned())));
        }
    }

    #[test]
    fn a_device_that_was_not_built_in_is_refused_with_the_mend() {
        assert!(Accelerator::open(ComputeDevice::Cpu).unwrap().is_none());
        for device in [ComputeDevice::Cuda(0), ComputeDevice::Metal(0), ComputeDevice::CandleCpu] {
            let built = match device {
                ComputeDevice::Cpu => true,
                ComputeDevice::Cuda(_) => cfg!(feature = "cuda"),
                ComputeDevice::Metal(_) => cfg!(feature = "metal"),
                ComputeDevice::CandleCpu => cfg!(feature = "candle"),
            };
            if !built {
                let error = Accelerator::open(device).unwrap_err().to_string();
                let feature = device.feature().unwrap();
                assert_eq!(
                    error,
                    format!(
                        "this program was built without {feature}; build it with `cargo build \
                         --release --features {feature}`, or use --device cpu"
                    )
                );
            }
        }
    }
}
