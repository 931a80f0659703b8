//! A whole model under training: frozen weights as they are stored, adapters, and `f32` copies of
//! the tensors that are trained themselves.

mod batch;
mod vocabulary;

use tricorn_model::ModelSource;

use crate::{
    dense::Dense,
    error::GradError,
    layer::DecoderLayer,
    layer::LayerConfig,
    lora::{Adapter, LoraConfig},
    parameters::{Gradients, Parameter, Parameters, Tensor},
};
pub use batch::{Batch, Target, TokenSequence};
use vocabulary::Vocabulary;

/// A decoder model of one of our families, with the parameters that are trained.
///
/// After [`LanguageModel::load`] all of it is frozen; [`LanguageModel::add_lora`] and
/// [`LanguageModel::train`] choose what is trained.
#[derive(Debug)]
pub struct LanguageModel {
    layers: Vec<DecoderLayer>,
    vocabulary: Vocabulary,
    parameters: Parameters,
}

impl LanguageModel {
    /// Reads a whole model, each matrix in the format that the source holds it in, into memory.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape, or the model is packed.
    pub fn load(source: &ModelSource) -> Result<Self, GradError> {
        if source.is_packed() {
            return Err(GradError::Packed);
        }
        let config = source.config();
        let layers = (0..config.layers)
            .map(|layer| DecoderLayer::load(source, layer, LayerConfig::of(config, layer)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            layers,
            vocabulary: Vocabulary::load(source)?,
            parameters: Parameters::default(),
        })
    }

    /// Adds an adapter to the dense layer `name`, such as `model.layers.0.self_attn.q_proj`.
    /// `uniform` gives random numbers in `[0, 1)`, from which the matrix `A` is drawn; `B` is zero,
    /// so the model's function does not change.
    ///
    /// The parameters are called `base_model.model.NAME.lora_A.weight` and `.lora_B.weight`, as in
    /// PEFT's `adapter_model.safetensors`.
    ///
    /// # Errors
    /// When there is no such layer, it has an adapter already, or the rank is none of its.
    pub fn add_lora(
        &mut self,
        name: &str,
        config: LoraConfig,
        uniform: &mut dyn FnMut() -> f64,
    ) -> Result<(), GradError> {
        let all = self.layers.iter_mut().flat_map(DecoderLayer::dense_mut);
        let dense = all
            .into_iter()
            .find(|dense| dense.name == name)
            .ok_or_else(|| GradError::UnknownLinear(name.to_owned()))?;
        let size = (dense.outputs, dense.inputs);
        dense.adapter = Some(Adapter::new(name, size, config, uniform, &mut self.parameters)?);
        Ok(())
    }

    /// Trains the tensor `name` of the model, such as `model.norm.weight`, in an `f32` copy. Where
    /// the head is the embedding, `model.embed_tokens.weight` is both.
    ///
    /// # Errors
    /// When there is no such tensor, or it is trained already.
    pub fn train(&mut self, name: &str) -> Result<(), GradError> {
        let layers = self.layers.iter_mut().flat_map(DecoderLayer::tensors_mut);
        let (name, shape, tensor) = layers
            .chain(self.vocabulary.tensors_mut())
            .find(|(found, ..)| found == name)
            .ok_or_else(|| GradError::UnknownTensor(name.to_owned()))?;
        let values = tensor.weight(&self.parameters).to_f32();
        *tensor = Tensor::Trained(self.parameters.push(Parameter { name, shape, values })?);
        self.vocabulary.share_trained();
        Ok(())
    }

    /// The names of all dense layers that can have an adapter, layer by layer.
    pub fn dense_layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().flat_map(DecoderLayer::dense).map(|dense| dense.name.as_str())
    }

    /// The weight of the dense layer `name`, `outputs x inputs`, with its adapter's update in it.
    ///
    /// # Errors
    /// When there is no such layer.
    pub fn merged(&self, name: &str) -> Result<Vec<f32>, GradError> {
        let mut all = self.layers.iter().flat_map(DecoderLayer::dense);
        let dense: &Dense = all
            .find(|dense| dense.name == name)
            .ok_or_else(|| GradError::UnknownLinear(name.to_owned()))?;
        Ok(dense.merged(&self.parameters))
    }

    /// The layers, to be run one by one.
    #[must_use]
    pub fn layers(&self) -> &[DecoderLayer] {
        &self.layers
    }

    /// What is trained, in the order in which it was chosen.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What is trained, to be changed.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// The mean cross-entropy over the batch's targets, in nats.
    ///
    /// # Errors
    /// When the batch has a token that is not in the vocabulary.
    pub fn loss(&self, batch: &Batch) -> Result<f64, GradError> {
        self.vocabulary.check(batch)?;
        let mut x = self.vocabulary.embed(&self.parameters, batch);
        for layer in &self.layers {
            x = layer.forward(&self.parameters, batch.rows(), &x);
        }
        Ok(self.vocabulary.loss(&self.parameters, batch, &x))
    }

    /// The mean cross-entropy over the batch's targets, in nats, and its gradient with respect to
    /// every parameter.
    ///
    /// Layers below the lowest that has a parameter are run forward only.
    ///
    /// # Errors
    /// When the batch has a token that is not in the vocabulary.
    pub fn loss_and_gradients(&self, batch: &Batch) -> Result<(f64, Gradients), GradError> {
        self.vocabulary.check(batch)?;
        let (parameters, rows) = (&self.parameters, batch.rows());
        let lowest = self.lowest_trained();
        let mut x = self.vocabulary.embed(parameters, batch);
        let mut inputs = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let output = layer.forward(parameters, rows, &x);
            let input = std::mem::replace(&mut x, output);
            if index >= lowest {
                inputs.push(input);
            }
        }
        let mut gradients = parameters.zero_gradients();
        let (loss, mut gradient) =
            self.vocabulary.loss_and_gradient(parameters, batch, &x, &mut gradients);
        // The last layer's output is not needed any more.
        drop(x);
        for layer in self.layers[lowest..].iter().rev() {
            // There is an input for each of these layers.
            let input = inputs.pop().unwrap_or_default();
            gradient = layer.backward(parameters, rows, &input, &gradient, &mut gradients);
        }
        self.vocabulary.embed_backward(batch, &gradient, &mut gradients);
        Ok((loss, gradients))
    }

    /// The lowest layer that gradients must come down to.
    fn lowest_trained(&self) -> usize {
        if self.vocabulary.embedding_is_trained() {
            return 0;
        }
        self.layers.iter().position(DecoderLayer::is_trained).unwrap_or(self.layers.len())
    }
}
