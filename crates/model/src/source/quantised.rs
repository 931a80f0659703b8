//! How a model's matrices are held.

use super::{Matrix, ModelSource};
use crate::{
    error::ModelError,
    quant::{Dtype, Quant},
    weights::Stored,
};

impl ModelSource {
    /// The same model with its matrices held in another format; `None` leaves them as they are stored.
    ///
    /// The fingerprint stays that of the stored model, so each side may hold its own layers as it likes. The text is then that of the
    /// model so quantised: to compare texts, give every process the same.
    ///
    /// # Errors
    /// When the model is stored quantised or packed and would be quantised again; `f32` is exact for every model that is not packed.
    pub fn quantised(self, quant: Option<Quant>) -> Result<Self, ModelError> {
        match (quant, self.stored_quantised()) {
            (Some(Quant::F32), Some(_)) if !self.is_packed() => Ok(Self { quant, ..self }),
            (Some(_), Some(dtype)) => Err(ModelError::AlreadyQuantised { dtype }),
            _ => Ok(Self { quant, ..self }),
        }
    }

    /// What its matrices are quantised to at load; `None` when they are held as they are stored.
    #[must_use]
    pub fn quant(&self) -> Option<Quant> {
        self.quant
    }

    /// Whether its matrices are quantised or packed in its files, so that they cannot be quantised again.
    #[must_use]
    pub fn is_quantised(&self) -> bool {
        self.stored_quantised().is_some()
    }

    /// Whether its matrices were packed for the kernels by `tricorn pack` and are mapped.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.panels.is_some()
    }

    /// The matrices that are packed, with their bytes.
    pub(crate) fn packed(&self) -> impl Iterator<Item = (&str, Matrix, usize)> {
        self.panels.iter().flat_map(|panels| panels.iter())
    }

    fn stored_quantised(&self) -> Option<Dtype> {
        let stored = self.weights().iter().filter_map(|(_, info)| match info.stored {
            Stored::Known(dtype) if dtype.is_quantised() => Some(dtype),
            _ => None,
        });
        self.packed().map(|(_, matrix, _)| matrix.dtype).chain(stored).next()
    }
}
