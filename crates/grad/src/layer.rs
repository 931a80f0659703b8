//! A decoder layer forward and backward: `y = x + attention(x)`, `z = y + mlp(y)`.
//!
//! The backward pass takes the layer's input and computes the inner activations again, so that
//! nothing but inputs is kept from the forward pass of a model. A layer may lack either half.

mod attention;
mod config;
mod mlp;

use tricorn_model::ModelSource;

use crate::{
    dense::Dense,
    error::GradError,
    parameters::{Gradients, Parameters, Tensor},
    rows::Rows,
};
use attention::AttentionHalf;
pub use config::LayerConfig;
use mlp::MlpHalf;

/// One decoder layer of a model under training.
#[derive(Debug)]
pub struct DecoderLayer {
    config: LayerConfig,
    attention: Option<AttentionHalf>,
    mlp: Option<MlpHalf>,
}

impl DecoderLayer {
    /// Reads layer `layer`, all of it frozen, in the formats that the source holds it in.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape, or is packed.
    pub fn load(
        source: &ModelSource,
        layer: usize,
        config: LayerConfig,
    ) -> Result<Self, GradError> {
        let prefix = format!("model.layers.{layer}");
        let attention = (config.heads > 0).then(|| AttentionHalf::load(source, &prefix, config));
        let mlp = (config.intermediate > 0).then(|| MlpHalf::load(source, &prefix, config));
        Ok(Self { config, attention: attention.transpose()?, mlp: mlp.transpose()? })
    }

    /// Its sizes.
    #[must_use]
    pub fn config(&self) -> &LayerConfig {
        &self.config
    }

    /// The layer's output for the rows `x` of a batch, both `rows x hidden`.
    #[must_use]
    pub fn forward(&self, parameters: &Parameters, rows: &Rows, x: &[f32]) -> Vec<f32> {
        let y = match &self.attention {
            Some(attention) => attention.forward(parameters, rows, x).0,
            None => x.to_vec(),
        };
        match &self.mlp {
            Some(mlp) => mlp.forward(parameters, &y),
            None => y,
        }
    }

    /// The gradient of the rows `x`, given that of the output; adds the gradients of what is
    /// trained in this layer. All are `rows x hidden`.
    #[must_use]
    pub fn backward(
        &self,
        parameters: &Parameters,
        rows: &Rows,
        x: &[f32],
        gradient: &[f32],
        gradients: &mut Gradients,
    ) -> Vec<f32> {
        let mlp = |y: &[f32], gradients: &mut Gradients| match &self.mlp {
            Some(mlp) => mlp.backward(parameters, y, gradient, gradients),
            None => gradient.to_vec(),
        };
        match &self.attention {
            Some(attention) => {
                let (y, trace) = attention.forward(parameters, rows, x);
                let d_y = mlp(&y, gradients);
                attention.backward(parameters, rows, x, &trace, &d_y, gradients)
            }
            None => mlp(x, gradients),
        }
    }

    /// Whether anything in it is trained.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.attention.as_ref().is_some_and(AttentionHalf::is_trained)
            || self.mlp.as_ref().is_some_and(MlpHalf::is_trained)
    }

    pub(crate) fn dense(&self) -> impl Iterator<Item = &Dense> {
        let attention = self.attention.iter().flat_map(AttentionHalf::dense);
        attention.chain(self.mlp.iter().flat_map(MlpHalf::dense))
    }

    pub(crate) fn dense_mut(&mut self) -> impl Iterator<Item = &mut Dense> {
        let attention = self.attention.iter_mut().flat_map(AttentionHalf::dense_mut);
        attention.chain(self.mlp.iter_mut().flat_map(MlpHalf::dense_mut))
    }

    /// All tensors of the model's own, with names and shapes.
    pub(crate) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let attention = self.attention.iter_mut().flat_map(AttentionHalf::tensors_mut);
        attention.chain(self.mlp.iter_mut().flat_map(MlpHalf::tensors_mut)).collect()
    }
}
