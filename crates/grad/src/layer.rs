//! A decoder layer forward and backward: `y = x + attention(x)`, `z = y + mlp(y)`.
//!
//! The backward pass takes the layer's input and computes the inner activations again, so that
//! nothing but inputs is kept from the forward pass of a model.

mod attention;
mod mlp;

use tricorn_model::ModelSource;

use crate::{
    dense::Dense,
    error::GradError,
    parameters::{Gradients, Parameters, Tensor},
    rows::Rows,
    shape::LayerShape,
};
use attention::AttentionHalf;
use mlp::MlpHalf;

/// One decoder layer of a model under training.
#[derive(Debug)]
pub struct DecoderLayer {
    shape: LayerShape,
    attention: AttentionHalf,
    mlp: MlpHalf,
}

impl DecoderLayer {
    /// Reads layer `layer`, all of it frozen, in the formats that the source holds it in.
    ///
    /// # Errors
    /// When a tensor is missing, has another shape, or is packed.
    pub fn load(source: &ModelSource, layer: usize, shape: LayerShape) -> Result<Self, GradError> {
        let prefix = format!("model.layers.{layer}");
        Ok(Self {
            shape,
            attention: AttentionHalf::load(source, &prefix, shape)?,
            mlp: MlpHalf::load(source, &prefix, shape)?,
        })
    }

    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> &LayerShape {
        &self.shape
    }

    /// The layer's output for the rows `x` of a batch, both `rows x hidden`.
    #[must_use]
    pub fn forward(&self, parameters: &Parameters, rows: &Rows, x: &[f32]) -> Vec<f32> {
        let (y, _) = self.attention.forward(parameters, rows, x);
        self.mlp.forward(parameters, y)
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
        let (y, trace) = self.attention.forward(parameters, rows, x);
        let d_y = self.mlp.backward(parameters, &y, gradient, gradients);
        self.attention.backward(parameters, rows, x, &trace, &d_y, gradients)
    }

    /// Whether anything in it is trained.
    #[must_use]
    pub fn is_trained(&self) -> bool {
        self.attention.is_trained() || self.mlp.is_trained()
    }

    pub(crate) fn dense(&self) -> [&Dense; 7] {
        let [q, k, v, o] = self.attention.dense();
        let [gate, up, down] = self.mlp.dense();
        [q, k, v, o, gate, up, down]
    }

    pub(crate) fn dense_mut(&mut self) -> [&mut Dense; 7] {
        let [q, k, v, o] = self.attention.dense_mut();
        let [gate, up, down] = self.mlp.dense_mut();
        [q, k, v, o, gate, up, down]
    }

    /// All tensors of the model's own, with names and shapes.
    pub(crate) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let mut tensors = self.attention.tensors_mut();
        tensors.extend(self.mlp.tensors_mut());
        tensors
    }
}
