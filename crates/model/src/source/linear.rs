//! A model's matrices, ready for the kernels.

use super::ModelSource;
use crate::{error::ModelError, kernels::Linear};

impl ModelSource {
    /// One dense layer from matrices of the given names and numbers of outputs, stacked in order; all have `inputs` inputs.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape or a format that is not supported.
    pub(crate) fn linear(&self, parts: &[(String, usize)], inputs: usize, bias: Option<Vec<f32>>) -> Result<Linear, ModelError> {
        let parts =
            parts.iter().map(|(name, outputs)| self.weights().raw(name, &[*outputs, inputs])).collect::<Result<Vec<_>, ModelError>>()?;
        Ok(Linear::pack(&parts, inputs, bias))
    }
}
