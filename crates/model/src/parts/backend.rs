//! The backend of a part: its layers and head on the processor, or on an accelerator.

use crate::{
    accelerator,
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::{
        self, LayerObserver, SeqRows,
        tensors::{self, Stack},
    },
    source::ModelSource,
};
use std::{ops::Range, sync::Arc};
use tricorn_kernels::Linear;

/// A contiguous range of decoder layers.
#[derive(Debug)]
pub(crate) enum Layers {
    Cpu(layers::Layers),
    Accelerator(accelerator::Layers),
}

impl Layers {
    /// Reads the weights of `range` and nothing else, to where the source says that the model
    /// computes.
    pub(crate) fn load(source: &ModelSource, range: Range<usize>) -> Result<Self, ModelError> {
        Ok(match source.accelerator() {
            Some(accelerator) => {
                Self::Accelerator(accelerator::Layers::load(source, accelerator, range)?)
            }
            None => Self::Cpu(layers::Layers::load(source, range)?),
        })
    }

    pub(crate) fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        match self {
            Self::Cpu(layers) => layers.new_kv(pool, context),
            Self::Accelerator(layers) => layers.new_kv(pool, context),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Cpu(layers) => layers.bytes(),
            Self::Accelerator(layers) => layers.bytes(),
        }
    }

    /// Runs the layers in place on `x`, the rows of all sequences one after the other (`total rows
    /// x hidden`).
    ///
    /// # Errors
    /// When a sequence's cache has no room or the accelerator fails; no cache has then lost a
    /// position that it was not asked to truncate, and `x` is as it was.
    pub(crate) fn forward(
        &self,
        batch: &mut [SeqRows<'_>],
        x: &mut [f32],
    ) -> Result<(), ModelError> {
        match self {
            Self::Cpu(layers) => Ok(layers.forward(batch, x)?),
            Self::Accelerator(layers) => layers.forward(batch, x),
        }
    }

    /// As [`Layers::forward`], and shows `observer` the activations.
    ///
    /// # Errors
    /// As [`Layers::forward`], and when an accelerator computes, which keeps them to itself.
    pub(crate) fn forward_observed(
        &self,
        batch: &mut [SeqRows<'_>],
        x: &mut [f32],
        observer: &mut dyn LayerObserver,
    ) -> Result<(), ModelError> {
        match self {
            Self::Cpu(layers) => Ok(layers.forward_observed(batch, x, observer)?),
            Self::Accelerator(_) => Err(ModelError::Unsupported {
                what: "observing layers on an accelerator".to_owned(),
                mend: "use --device cpu",
            }),
        }
    }
}

/// The language-model head.
#[derive(Debug)]
pub(crate) enum Head {
    Cpu(Linear),
    /// With the final norm.
    Accelerator(accelerator::Head),
}

impl Head {
    pub(crate) fn load(source: &ModelSource) -> Result<Self, ModelError> {
        let Stack { parts, inputs, bias } = tensors::head_stack(source.config());
        Ok(match source.accelerator() {
            Some(accelerator) => Self::Accelerator(accelerator::Head::load(source, accelerator)?),
            None => Self::Cpu(source.linear(&parts, inputs, bias)?),
        })
    }

    pub(crate) fn vocab(&self) -> usize {
        match self {
            Self::Cpu(linear) => linear.outputs(),
            Self::Accelerator(head) => head.vocab(),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Cpu(linear) => linear.bytes(),
            Self::Accelerator(head) => head.bytes(),
        }
    }
}
