//! Errors of models under training and of optimisers.

use tricorn_model::ModelError;

/// Why a gradient or a step cannot be had. Each message is one line and ends with the mend where
/// there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GradError {
    /// The model cannot be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Weights were packed for the kernels, which do not unpack them.
    #[error("packed weights cannot be trained on; give the model that they were packed from")]
    Packed,
    /// There is no dense layer of this name.
    #[error("the model has no dense layer {0}; names are such as model.layers.0.self_attn.q_proj")]
    UnknownLinear(String),
    /// There is no tensor of this name.
    #[error("the model has no tensor {0}; names are such as model.layers.0.mlp.up_proj.weight")]
    UnknownTensor(String),
    /// A tensor or an adapter would be trained twice.
    #[error("{0} is trained already")]
    AlreadyTrained(String),
    /// A rank is no rank of the layer.
    #[error("an adapter of rank {rank} on {name}; use 1 to {most}")]
    Rank {
        /// The dense layer.
        name: String,
        /// The rank asked for.
        rank: usize,
        /// The smaller of the layer's widths.
        most: usize,
    },
    /// A sequence has no tokens.
    #[error("sequence {0} of the batch has no tokens")]
    EmptySequence(usize),
    /// A batch has nothing to learn from.
    #[error("the batch has no target")]
    NoTargets,
    /// A target stands behind its sequence.
    #[error("a target at row {row} of a sequence of {rows} tokens")]
    TargetRow {
        /// The target's row.
        row: usize,
        /// Tokens of the sequence.
        rows: usize,
    },
    /// A token is not in the vocabulary.
    #[error("token {token} in a vocabulary of {vocab}")]
    Token {
        /// The token.
        token: u32,
        /// Tokens of the model.
        vocab: usize,
    },
    /// A parameter names a group that was not declared.
    #[error("parameter {parameter} is in group {group}, which was not declared")]
    UnknownGroup {
        /// The parameter.
        parameter: String,
        /// The group.
        group: String,
    },
    /// Values, gradients or moments do not belong to the optimiser's parameters.
    #[error("{what} of parameter {parameter}: {found} numbers where {expected} belong")]
    Length {
        /// What was given.
        what: &'static str,
        /// The parameter.
        parameter: String,
        /// Numbers found.
        found: usize,
        /// Numbers expected.
        expected: usize,
    },
    /// Another number of tensors than the optimiser has parameters.
    #[error("{found} tensors of {what} for {expected} parameters")]
    Count {
        /// What was given.
        what: &'static str,
        /// Tensors found.
        found: usize,
        /// Parameters.
        expected: usize,
    },
    /// A saved state cannot be used.
    #[error("the saved state is of no use: {0}")]
    State(String),
}
