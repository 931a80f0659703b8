//! Vocabulary ends of a model: embedding, final norm and head with cross-entropy.

use tricorn_model::ModelSource;

use super::batch::Batch;
use crate::{
    dense::Norm,
    error::GradError,
    ops::{add, cross_entropy::Head, embedding},
    parameters::{Gradients, Parameters, Tensor},
};

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

#[derive(Debug)]
pub(super) struct Vocabulary {
    embedding: Tensor,
    norm: Norm,
    /// `None` where the embedding is the head, in the same format.
    head: Option<Tensor>,
    tied: bool,
    vocab: usize,
    hidden: usize,
}

impl Vocabulary {
    pub(super) fn load(source: &ModelSource) -> Result<Self, GradError> {
        let config = source.config();
        let (vocab, hidden) = (config.vocab, config.hidden);
        let embedding = source.weights().raw(EMBEDDING, &[vocab, hidden])?;
        let head = source.matrix(if config.tied { EMBEDDING } else { HEAD }, vocab, hidden)?;
        let shared = config.tied && head.dtype == embedding.dtype;
        Ok(Self {
            head: (!shared).then(|| Tensor::frozen(head)),
            embedding: Tensor::frozen(embedding),
            norm: Norm::load(source, "model.norm".to_owned(), hidden, config.norm_eps)?,
            tied: config.tied,
            vocab,
            hidden,
        })
    }

    /// Checks that the model has all tokens of a batch.
    pub(super) fn check(&self, batch: &Batch) -> Result<(), GradError> {
        let mut tokens = batch.tokens().iter().chain(batch.target_tokens());
        match tokens.find(|token| **token as usize >= self.vocab) {
            Some(&token) => Err(GradError::Token { token, vocab: self.vocab }),
            None => Ok(()),
        }
    }

    /// The rows that enter the first layer.
    pub(super) fn embed(&self, parameters: &Parameters, batch: &Batch) -> Vec<f32> {
        embedding::forward(self.embedding.weight(parameters), self.hidden, batch.tokens())
    }

    /// Adds the gradient of the embedding, given that of its rows.
    pub(super) fn embed_backward(
        &self,
        batch: &Batch,
        gradient: &[f32],
        gradients: &mut Gradients,
    ) {
        if let Some(index) = self.embedding.trained() {
            let table = gradients.at_mut(index);
            embedding::add_weight_gradient(gradient, batch.tokens(), self.hidden, table);
        }
    }

    /// The mean cross-entropy, from the last layer's rows.
    pub(super) fn loss(&self, parameters: &Parameters, batch: &Batch, x: &[f32]) -> f64 {
        let (_, normed) = self.norm.forward(parameters, &self.target_rows(batch, x));
        let sum = self.head(parameters).loss(&normed, batch.target_tokens());
        sum / batch.targets() as f64
    }

    /// The mean cross-entropy and its gradient with respect to the last layer's rows; adds those of
    /// norm and head where they are trained.
    pub(super) fn loss_and_gradient(
        &self,
        parameters: &Parameters,
        batch: &Batch,
        x: &[f32],
        gradients: &mut Gradients,
    ) -> (f64, Vec<f32>) {
        let rows = self.target_rows(batch, x);
        let (unit, normed) = self.norm.forward(parameters, &rows);
        let share = (batch.targets() as f32).recip();
        let of_weight = self.head_tensor().trained().map(|index| gradients.at_mut(index));
        let (sum, d_normed) = self.head(parameters).loss_and_gradient(
            &normed,
            batch.target_tokens(),
            share,
            of_weight,
        );
        let d_rows = self.norm.backward(parameters, (&rows, &unit), &d_normed, gradients);
        let mut gradient = vec![0.0; x.len()];
        for (&row, d_row) in batch.target_rows().iter().zip(d_rows.chunks_exact(self.hidden)) {
            add(&mut gradient[row * self.hidden..][..self.hidden], d_row);
        }
        (sum / batch.targets() as f64, gradient)
    }

    fn target_rows(&self, batch: &Batch, x: &[f32]) -> Vec<f32> {
        let row = |&row: &usize| &x[row * self.hidden..][..self.hidden];
        batch.target_rows().iter().flat_map(row).copied().collect()
    }

    fn head_tensor(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.embedding)
    }

    fn head<'a>(&'a self, parameters: &'a Parameters) -> Head<'a> {
        let weight = self.head_tensor().weight(parameters);
        Head { weight, hidden: self.hidden, vocab: self.vocab }
    }

    pub(super) fn embedding_is_trained(&self) -> bool {
        self.embedding.trained().is_some()
    }

    /// Lets a tied head follow an embedding that is trained.
    pub(super) fn share_trained(&mut self) {
        if self.tied && self.embedding_is_trained() {
            self.head = None;
        }
    }

    pub(super) fn tensors_mut(&mut self) -> Vec<(String, Vec<usize>, &mut Tensor)> {
        let shape = vec![self.vocab, self.hidden];
        let mut tensors = vec![
            (EMBEDDING.to_owned(), shape.clone(), &mut self.embedding),
            self.norm.tensor_mut(),
        ];
        if let (false, Some(head)) = (self.tied, &mut self.head) {
            tensors.push((HEAD.to_owned(), shape, head));
        }
        tensors
    }
}
