//! The final norm and the language-model head on the accelerator.

use super::matrix::Matrix;
use crate::{
    compute_device::accelerator::Accelerator, error::ModelError, formats::names, layers::tensors,
    source::ModelSource,
};
use candle_core::{Result, Tensor};
use candle_nn::ops::rms_norm;

/// The final norm and the head.
#[derive(Debug)]
pub(crate) struct Head {
    accelerator: Accelerator,
    norm: Tensor,
    norm_eps: f32,
    table: Matrix,
    hidden: usize,
    vocab: usize,
}

impl Head {
    /// # Errors
    /// When a tensor is missing or has another shape, or the accelerator has no memory for it.
    pub(crate) fn load(
        source: &ModelSource,
        accelerator: &Accelerator,
    ) -> std::result::Result<Self, ModelError> {
        let config = source.config();
        let norm = source.weights().f32(names::NORM, &[config.hidden])?;
        Ok(Self {
            norm: Tensor::from_vec(norm, config.hidden, accelerator.candle())
                .map_err(|error| accelerator.failed(error))?,
            norm_eps: config.norm_eps,
            table: Matrix::load(source, accelerator, &tensors::head_stack(config))?,
            hidden: config.hidden,
            vocab: config.vocab,
            accelerator: accelerator.clone(),
        })
    }

    /// Bytes of weights held on the accelerator.
    pub(crate) fn bytes(&self) -> usize {
        self.table.bytes() + self.hidden * size_of::<f32>()
    }

    /// Size of the vocabulary.
    pub(crate) fn vocab(&self) -> usize {
        self.vocab
    }

    /// Logits of the last layer's rows: `rows x vocab`.
    ///
    /// # Errors
    /// When the accelerator fails.
    pub(crate) fn logits(&self, x: &[f32]) -> std::result::Result<Vec<f32>, ModelError> {
        if x.is_empty() {
            return Ok(Vec::new());
        }
        self.run(x).map_err(|error| self.accelerator.failed(error))
    }

    fn run(&self, x: &[f32]) -> Result<Vec<f32>> {
        let x =
            Tensor::from_slice(x, (x.len() / self.hidden, self.hidden), self.accelerator.candle())?;
        self.table.apply(&rms_norm(&x, &self.norm, self.norm_eps)?)?.flatten_all()?.to_vec1()
    }
}
