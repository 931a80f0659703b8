//! Formats in which a model's matrices are held.

use super::ModelSource;
use crate::formats::bundle::manifest::Matrix;
use crate::{
    compute_device::ComputeDevice, error::ModelError, formats::names::layer_of, quant::Quant,
    weights::Stored,
};
use tricorn_kernels::Dtype;

impl ModelSource {
    /// The same model with its matrices held in another format; `None` leaves them as they are
    /// stored.
    ///
    /// The fingerprint stays that of the stored model; [`weights_format`](Self::weights_format)
    /// tells apart what gives another text.
    ///
    /// # Errors
    /// When the model is stored quantised or packed and would be quantised again; `f32` is exact
    /// for every model that is not packed.
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

    /// What the layers' matrices are held as: what they are quantised to, or `stored` where they
    /// compute as the model's files have them. Parts of one model give one text only where these
    /// are equal. `None` where it is not known: without layers, or packed by a version that did not
    /// write it down.
    #[must_use]
    pub fn weights_format(&self) -> Option<&str> {
        if self.is_packed() {
            return self.packed_as.as_deref();
        }
        let layers = self.weights().iter().filter_map(|(name, info)| {
            match (layer_of(name), info.stored, info.shape.as_slice()) {
                (Some(_), Stored::Known(stored), &[_, inputs]) => {
                    Some(self.computes_alike(stored, self.held_as(name, stored, inputs)))
                }
                _ => None,
            }
        });
        let as_stored = layers.reduce(|all, one| all && one)?;
        Some(if as_stored { "stored" } else { self.quant.map_or("stored", Quant::name) })
    }

    /// Whether a matrix gives the same products in both formats. The processor's kernels widen what
    /// is not quantised, a GPU's do not.
    fn computes_alike(&self, stored: Dtype, held: Dtype) -> bool {
        held == stored
            || held == Dtype::F32 && !stored.is_quantised() && self.device() == ComputeDevice::Cpu
    }

    /// Whether its matrices are quantised or packed in its files, so that they cannot be quantised
    /// again.
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
