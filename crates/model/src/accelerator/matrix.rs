//! Dense layers on the accelerator: `y = x W^T + b`.

use crate::{
    compute_device::accelerator::Accelerator, error::ModelError, layers::tensors::Stack,
    source::ModelSource, weights::StoredTensor,
};
use candle_core::{
    D, DType, Module, Result, Tensor,
    quantized::{GgmlDType, QMatMul, QStorage, QTensor},
};
use std::borrow::Cow;
use tricorn_kernels::{Dtype, RawTensor};

/// Matrices with the same inputs, their outputs side by side, with an optional bias.
#[derive(Debug)]
pub(super) struct Matrix {
    parts: Vec<Part>,
    bias: Option<Tensor>,
    bytes: usize,
}

/// Rows of one storage format.
#[derive(Debug)]
enum Part {
    /// `inputs x outputs`: a transposed view of what is stored.
    Dense(Tensor),
    /// Multiplied as it is stored, by candle's kernels for ggml's formats.
    Quantised(QMatMul),
}

impl Matrix {
    /// # Errors
    /// When a tensor is missing or has another shape, or the accelerator has no memory for it.
    pub(super) fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
        stack: &Stack,
    ) -> std::result::Result<Self, ModelError> {
        let matrices = source.matrices(&stack.parts, stack.inputs)?;
        let raw: Vec<RawTensor<'_>> = matrices.iter().map(StoredTensor::view).collect();
        Self::upload(accelerator, &raw, stack).map_err(|error| accelerator.failed(error))
    }

    fn upload(accelerator: &Accelerator, raw: &[RawTensor<'_>], stack: &Stack) -> Result<Self> {
        let bias = stack
            .bias
            .as_deref()
            .map(|bias| Tensor::from_slice(bias, bias.len(), accelerator.candle()))
            .transpose()?;
        let mut matrix = Self {
            bytes: bias.as_ref().map_or(0, |bias| bias.elem_count() * size_of::<f32>()),
            parts: Vec::new(),
            bias,
        };
        // Matrices of one format are one product: their rows lie one after the other.
        for same in raw.chunk_by(|a, b| a.dtype == b.dtype) {
            let Some(RawTensor { dtype, .. }) = same.first().copied() else { continue };
            let bytes = match same {
                [one] => Cow::Borrowed(one.bytes),
                several => {
                    Cow::Owned(several.iter().flat_map(|part| part.bytes).copied().collect())
                }
            };
            let (part, bytes) =
                Part::upload(accelerator, RawTensor { dtype, bytes: &bytes }, stack.inputs)?;
            matrix.parts.push(part);
            matrix.bytes += bytes;
        }
        Ok(matrix)
    }

    /// Bytes of weights held on the accelerator.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The product with `x` (`rows x inputs`, f32): `rows x outputs`, f32.
    pub(super) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let y = match self.parts.as_slice() {
            [part] => part.apply(x)?,
            parts => Tensor::cat(
                &parts.iter().map(|part| part.apply(x)).collect::<Result<Vec<_>>>()?,
                D::Minus1,
            )?,
        };
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

impl Part {
    /// The part and its bytes.
    fn upload(
        accelerator: &Accelerator,
        raw: RawTensor<'_>,
        inputs: usize,
    ) -> Result<(Self, usize)> {
        let (device, shape) = (accelerator.candle(), [raw.len() / inputs, inputs]);
        match Stored::from(raw.dtype) {
            Stored::Dense(stored) => {
                let dtype = accelerator.computed(stored);
                let weight =
                    Tensor::from_raw_buffer(raw.bytes, stored, &shape, device)?.to_dtype(dtype)?;
                let bytes = weight.elem_count() * dtype.size_in_bytes();
                Ok((Self::Dense(weight.t()?), bytes))
            }
            Stored::Quantised(dtype) => {
                let weight = QTensor::new(
                    QStorage::from_data(Cow::Borrowed(raw.bytes), device, dtype)?,
                    &shape,
                )?;
                let bytes = weight.storage_size_in_bytes();
                Ok((Self::Quantised(QMatMul::from_qtensor(weight)?), bytes))
            }
        }
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(weight) => rounded(x, weight.dtype())?.matmul(weight)?.to_dtype(DType::F32),
            Self::Quantised(weight) => weight.forward(x),
        }
    }
}

/// `x` in another format; what a half cannot hold becomes its largest number, as on the wire.
pub(super) fn rounded(x: &Tensor, dtype: DType) -> Result<Tensor> {
    let limit = f64::from(half::f16::MAX);
    if dtype == DType::F16 { x.clamp(-limit, limit)?.to_dtype(dtype) } else { x.to_dtype(dtype) }
}

/// candle's name of a format.
enum Stored {
    Dense(DType),
    Quantised(GgmlDType),
}

impl From<Dtype> for Stored {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => Self::Dense(DType::F32),
            Dtype::F16 => Self::Dense(DType::F16),
            Dtype::Bf16 => Self::Dense(DType::BF16),
            Dtype::Q4_0 => Self::Quantised(GgmlDType::Q4_0),
            Dtype::Q8_0 => Self::Quantised(GgmlDType::Q8_0),
            Dtype::Q4K => Self::Quantised(GgmlDType::Q4K),
            Dtype::Q5K => Self::Quantised(GgmlDType::Q5K),
            Dtype::Q6K => Self::Quantised(GgmlDType::Q6K),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ComputeDevice;

    const INPUTS: usize = 512;

    /// Rows of some numbers near one in the given format: random codes, and scales that a half
    /// holds.
    fn stored(dtype: Dtype, rows: usize) -> Vec<u8> {
        let mut state = 7_u32;
        let mut random = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let scale = half::f16::from_f32(0.01).to_le_bytes();
        let block = |random: &mut dyn FnMut() -> u8| -> Vec<u8> {
            let mut block: Vec<u8> = (0..dtype.block_bytes()).map(|_| random()).collect();
            let number = f32::from(random()) / 256.0 - 0.5;
            match dtype {
                Dtype::F32 => block.copy_from_slice(&number.to_le_bytes()),
                Dtype::F16 => block.copy_from_slice(&half::f16::from_f32(number).to_le_bytes()),
                Dtype::Bf16 => block.copy_from_slice(&half::bf16::from_f32(number).to_le_bytes()),
                Dtype::Q4_0 | Dtype::Q8_0 => block[..2].copy_from_slice(&scale),
                Dtype::Q4K | Dtype::Q5K => {
                    block[..2].copy_from_slice(&scale);
                    block[2..4].copy_from_slice(&scale);
                }
                Dtype::Q6K => block[208..].copy_from_slice(&scale),
            }
            block
        };
        (0..rows * INPUTS / dtype.block_len()).flat_map(|_| block(&mut random)).collect()
    }

    /// The largest error of the product, as a share of the largest output.
    fn error(formats: &[Dtype], bias: bool) -> f32 {
        let accelerator = Accelerator::open(ComputeDevice::CandleCpu).unwrap().unwrap();
        let (rows, outputs) = (3, 5);
        let bytes: Vec<Vec<u8>> = formats.iter().map(|dtype| stored(*dtype, outputs)).collect();
        let raw: Vec<RawTensor<'_>> = formats
            .iter()
            .zip(&bytes)
            .map(|(dtype, bytes)| RawTensor { dtype: *dtype, bytes })
            .collect();
        let all = outputs * formats.len();
        let bias = bias.then(|| (0..all).map(|i| i as f32).collect::<Vec<f32>>());
        let stack = Stack { parts: Vec::new(), inputs: INPUTS, bias: bias.clone() };
        let matrix = Matrix::upload(&accelerator, &raw, &stack).unwrap();
        assert!(matrix.bytes() >= bytes.iter().map(Vec::len).sum::<usize>());

        let x: Vec<f32> =
            (0..rows * INPUTS).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        let y = matrix
            .apply(&Tensor::from_slice(&x, (rows, INPUTS), accelerator.candle()).unwrap())
            .unwrap();
        assert_eq!(y.dims(), [rows, all]);
        let y: Vec<f32> = y.flatten_all().unwrap().to_vec1().unwrap();
        let weights: Vec<f32> = raw.iter().flat_map(RawTensor::to_f32).collect();
        let expected: Vec<f32> = (0..rows * all)
            .map(|i| {
                let (x, w) =
                    (&x[i / all * INPUTS..][..INPUTS], &weights[i % all * INPUTS..][..INPUTS]);
                x.iter().zip(w).map(|(x, w)| f64::from(x * w)).sum::<f64>() as f32
                    + bias.as_ref().map_or(0.0, |bias| bias[i % all])
            })
            .collect();
        let largest = expected.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
        y.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0_f32, f32::max) / largest
    }

    #[test]
    fn every_format_is_multiplied() {
        for dtype in Dtype::ALL {
            // candle rounds what quantised weights are multiplied by to 8 bits.
            let tolerance = if dtype.block_len() == 1 { 1e-5 } else { 2e-2 };
            let error = error(&[dtype], false);
            assert!(error <= tolerance, "{dtype}: off by {error}");
        }
    }

    #[test]
    fn stacks_keep_their_order_and_their_bias() {
        assert!(error(&[Dtype::F32; 3], true) <= 1e-5);
        assert!(error(&[Dtype::Bf16, Dtype::Bf16, Dtype::F32], true) <= 1e-5);
        assert!(error(&[Dtype::Q4K, Dtype::Q4K, Dtype::Q6K], true) <= 2e-2);
    }

    #[test]
    fn what_a_half_cannot_hold_is_not_infinite() {
        let x = Tensor::new(&[1e9_f32, -1e9, 1.0], &candle_core::Device::Cpu).unwrap();
        let rounded = rounded(&x, DType::F16)
            .unwrap()
            .to_dtype(DType::F32)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(rounded, [65504.0, -65504.0, 1.0]);
    }
}
