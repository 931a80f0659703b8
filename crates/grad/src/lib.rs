//! Gradients of decoder language models, without a tape: each operation has a forward and a
//! backward function, written out and checked against finite differences and PyTorch.
//!
//! Three types to know:
//! - [`LanguageModel`] is a model of one of our families under training. Its weights stay frozen as
//!   they are stored, quantised or not; what is trained are LoRA adapters and `f32` copies of
//!   chosen tensors. It gives the loss of a [`Batch`] and the [`Gradients`] of its [`Parameters`].
//! - [`AdamW`] changes parameters by gradients, in groups that the caller declares.
//! - [`Schedule`] gives the learning rate of a step.
//!
//! Below them, [`DecoderLayer`] is one layer forward and backward, and [`ops`] has the operations
//! on plain slices, for passes that are written by hand, such as those of drafters.
//!
//! Memory: a backward pass holds every layer's input and one layer's activations, because each
//! layer is computed again on the way back (Chen et al. 2016, arXiv 1604.06174). Weights are
//! brought to `f32` a block of rows at a time.
//!
//! All arithmetic is in `f32`, losses are summed in `f64`. Every sum has one fixed order, so
//! results are the same to the bit with any number of threads.
//!
//! ```no_run
//! use tricorn_grad::{
//!     AdamW, AdamWSettings, Batch, Group, LanguageModel, LoraConfig, TokenSequence,
//! };
//! use tricorn_model::ModelSource;
//!
//! let source = ModelSource::open(std::path::Path::new("models/demo"))?;
//! let mut model = LanguageModel::load(&source)?;
//! let mut random = 0.0;
//! let mut uniform = || { random = (random + 0.618_034) % 1.0; random };
//! for layer in 0..source.config().layers {
//!     let name = format!("model.layers.{layer}.self_attn.q_proj");
//!     model.add_lora(&name, LoraConfig { rank: 8, alpha: 16.0 }, &mut uniform)?;
//! }
//! let batch = Batch::new(&[TokenSequence::next_tokens(vec![1, 5, 9, 2], 0)])?;
//! let members = model.parameters().members("adapters");
//! let groups = vec![Group::new("adapters").clip_norm(1.0)];
//! let mut optimizer = AdamW::new(AdamWSettings::default(), groups, members)?;
//! for _ in 0..100 {
//!     let (loss, gradients) = model.loss_and_gradients(&batch)?;
//!     println!("{loss}");
//!     optimizer.step(1e-3, model.parameters_mut().values_mut(), gradients.values())?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod dense;
mod error;
mod layer;
mod lora;
mod model;
pub mod ops;
mod optimizer;
mod parameters;
mod rows;
mod schedule;
mod state;

pub use error::GradError;
pub use layer::{DecoderLayer, LayerConfig};
pub use lora::{LoraConfig, kaiming_uniform, merge};
pub use model::{Batch, LanguageModel, Target, TokenSequence};
pub use optimizer::{AdamW, AdamWSettings, Clip, Group, Member};
pub use parameters::{Gradients, Parameter, Parameters};
pub use rows::Rows;
pub use schedule::{Decay, Schedule};
