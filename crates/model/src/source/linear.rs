//! A model's matrices, ready for the kernels.

use super::ModelSource;
use crate::{
    error::ModelError,
    formats::names::EMBEDDING,
    quant::{Quant, Role},
    weights::StoredTensor,
};
use rayon::prelude::*;
use std::borrow::Cow;
use tricorn_kernels::{Dtype, Linear, RawTensor, quant::encode};

/// Rows that are quantised at a time; no more of a matrix than that is ever in single precision.
const ROWS: usize = 64;
/// What a head that is the embedding's table is called among packed matrices, beside the table of
/// rows.
pub(super) const PACKED_HEAD: &str = "lm_head.weight";

impl ModelSource {
    /// One dense layer from matrices of the given names and numbers of outputs, stacked in order;
    /// all have `inputs` inputs. Matrices are quantised as the source says, or mapped where they
    /// were packed before.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape, a format that is not supported, or values that
    /// cannot be quantised.
    pub(crate) fn linear(
        &self,
        parts: &[(String, usize)],
        inputs: usize,
        bias: Option<Vec<f32>>,
    ) -> Result<Linear, ModelError> {
        if let Some(panels) = &self.panels {
            let parts = parts
                .iter()
                .map(|(name, outputs)| panels.part(packed_name(name), *outputs, inputs));
            return Linear::from_parts(parts.collect::<Result<_, _>>()?, inputs, bias)
                .map_err(|error| ModelError::Bundle { problem: error.to_string() });
        }
        let matrices = self.matrices(parts, inputs)?;
        Ok(Linear::pack(&matrices.iter().map(StoredTensor::view).collect::<Vec<_>>(), inputs, bias))
    }

    /// One matrix, `outputs x inputs`, in the format that it is to be held in: as it is stored, or
    /// quantised as the source says. For trainers, which read it in both directions.
    ///
    /// # Errors
    /// When the tensor is missing, which every packed one is, has another shape, a format that is
    /// not supported, or values that cannot be quantised.
    pub fn matrix(
        &self,
        name: &str,
        outputs: usize,
        inputs: usize,
    ) -> Result<StoredTensor<'_>, ModelError> {
        let stored = self.weights().raw(name, &[outputs, inputs])?;
        let dtype = self.held_as(name, stored.dtype, inputs);
        if dtype == stored.dtype {
            return Ok(stored);
        }
        let bytes = Cow::Owned(quantised(name, stored.view(), dtype, inputs)?);
        Ok(StoredTensor { dtype, bytes })
    }

    /// The matrices of a dense layer, each in the format that it is to be held in.
    ///
    /// # Errors
    /// As [`ModelSource::linear`].
    pub(crate) fn matrices(
        &self,
        parts: &[(String, usize)],
        inputs: usize,
    ) -> Result<Vec<StoredTensor<'_>>, ModelError> {
        parts.iter().map(|(name, outputs)| self.matrix(name, *outputs, inputs)).collect()
    }

    /// The format that the engine holds a matrix in.
    pub(crate) fn held_as(&self, name: &str, stored: Dtype, inputs: usize) -> Dtype {
        let role = if name.starts_with("model.layers.") { Role::Layer } else { Role::Head };
        match self.quant {
            Some(Quant::F32) => Dtype::F32,
            Some(quant) if !stored.is_quantised() => quant.dtype(role, stored, inputs),
            _ => stored,
        }
    }
}

/// The name of a matrix among packed ones.
pub(crate) fn packed_name(name: &str) -> &str {
    if name == EMBEDDING { PACKED_HEAD } else { name }
}

/// The matrix in another format.
fn quantised(
    name: &str,
    raw: RawTensor<'_>,
    dtype: Dtype,
    inputs: usize,
) -> Result<Vec<u8>, ModelError> {
    let row = dtype.bytes(inputs).unwrap_or_default();
    let mut coded = vec![0; raw.len() / inputs * row];
    let runs = coded.par_chunks_mut((ROWS * row).max(1)).enumerate();
    let coding = runs.map(|(run, coded)| {
        encode(dtype, &raw.slice(run * ROWS * inputs, coded.len() / row * inputs).to_f32(), coded)
    });
    coding.collect::<Result<(), _>>().map_err(|value| ModelError::Unquantisable {
        name: name.to_owned(),
        value: value.0,
        dtype,
    })?;
    Ok(coded)
}
