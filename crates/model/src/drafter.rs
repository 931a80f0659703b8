//! The device's drafter: HAT's adapter, which turns a shallow row into a guess of the last layer's.
//!
//! One RMSNorm, one causal multi-head self-attention with rope (`4 * hidden^2` weights) and a residual connection; the model's own final
//! norm and head then give the token distribution (HAT, arXiv 2503.18989, section 3; the design is Kangaroo's, arXiv 2404.18911).

use crate::{
    config::ModelConfig,
    error::ModelError,
    kernels::{KvLayout, Linear},
    kv::{KvCache, KvPool},
    layer::{Attention, SeqRows, commit, prepare},
    rope::RopeTable,
    source::ModelSource,
    weights::Weights,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use tricorn_core::{Fingerprint, Split, SplitError};

/// The drafter's weights, beside the model's.
pub const WEIGHTS_FILE: &str = "drafter.safetensors";
/// The drafter's description, beside the model's.
pub const INFO_FILE: &str = "drafter.json";
/// The tensors of [`WEIGHTS_FILE`]: the norm (`hidden`) and four projections (`hidden x hidden`, row-major, outputs first).
pub const TENSORS: [&str; 5] = ["norm.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight"];

/// What a drafter was trained for and how well it does: the content of [`INFO_FILE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrafterInfo {
    /// The architecture; `hat` is the only one yet.
    pub kind: String,
    /// The split whose shallow rows it was trained on.
    pub split: String,
    /// The model it was trained for, 64 hexadecimal digits.
    pub fingerprint: String,
    /// Confidence below which drafting should stop.
    pub threshold: f32,
    /// Tokens seen in training.
    pub trained_tokens: u64,
    /// Whatever else the trainer measured.
    #[serde(flatten)]
    pub measured: BTreeMap<String, serde_json::Value>,
}

impl DrafterInfo {
    /// The description beside a model; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(source: &ModelSource) -> Result<Option<Self>, ModelError> {
        let Some(json) = source.file(INFO_FILE)? else { return Ok(None) };
        serde_json::from_slice(&json).map(Some).map_err(|error| broken(format!("{INFO_FILE}: {error}")))
    }

    /// The split whose shallow rows it was trained on.
    ///
    /// # Errors
    /// When the description names none.
    pub fn split(&self) -> Result<Split, ModelError> {
        self.split.parse().map_err(|error: SplitError| broken(error.to_string()))
    }
}

fn broken(problem: String) -> ModelError {
    ModelError::BrokenDrafter { problem }
}

/// A loaded drafter.
#[derive(Debug)]
pub struct Drafter {
    attention: Attention,
    rope: RopeTable,
    hidden: usize,
    info: DrafterInfo,
}

impl Drafter {
    /// The drafter beside a model; `None` when there is none.
    ///
    /// # Errors
    /// When it is broken, or was trained for another model or split.
    pub fn load(source: &ModelSource, split: Split) -> Result<Option<Self>, ModelError> {
        let Some(info) = DrafterInfo::read(source)? else {
            return match source.file(WEIGHTS_FILE)? {
                Some(_) => Err(broken(format!("{WEIGHTS_FILE} is there and {INFO_FILE} is not"))),
                None => Ok(None),
            };
        };
        let weights = source.side_weights(WEIGHTS_FILE).map_err(|error| broken(error.to_string()))?;
        let weights = weights.ok_or_else(|| broken(format!("{INFO_FILE} is there and {WEIGHTS_FILE} is not")))?;
        let fingerprint = source.fingerprint();
        if Fingerprint::from_hex(&info.fingerprint) != Some(fingerprint) {
            let (found, expected) = (format!("model {:.16}", info.fingerprint), format!("model {fingerprint}"));
            return Err(ModelError::WrongDrafter { found, expected });
        }
        if info.split()?.input_layers != split.input_layers {
            return Err(ModelError::WrongDrafter { found: format!("split {}", info.split), expected: format!("split {split}") });
        }
        Self::from_weights(&weights, source.config(), info).map(Some)
    }

    /// Builds a drafter from its five tensors.
    ///
    /// # Errors
    /// When a tensor is missing or has the wrong shape, or the kind is not known.
    pub fn from_weights(weights: &Weights, config: &ModelConfig, info: DrafterInfo) -> Result<Self, ModelError> {
        if info.kind != "hat" {
            return Err(ModelError::WrongDrafter { found: format!("kind {}", info.kind), expected: "kind hat".to_owned() });
        }
        let hidden = config.hidden;
        let [norm, q, k, v, o] = TENSORS;
        let square = |name: &str| weights.raw(name, &[hidden, hidden]);
        let head_dim = head_dim(config);
        let layout = KvLayout { kv_heads: hidden / head_dim, head_dim };
        Ok(Self {
            attention: Attention {
                norm: weights.f32(norm, &[hidden])?,
                qkv: Linear::pack(&[square(q)?, square(k)?, square(v)?], hidden, None),
                qk_norm: None,
                output: Linear::pack(&[square(o)?], hidden, None),
                heads: hidden / head_dim,
                layout,
                norm_eps: config.norm_eps,
                window: None,
            },
            rope: RopeTable::new(&config.rope, head_dim),
            hidden,
            info,
        })
    }

    /// What it was trained for.
    #[must_use]
    pub fn info(&self) -> &DrafterInfo {
        &self.info
    }

    /// An empty cache for one sequence of at most `context` positions.
    #[must_use]
    pub fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        KvCache::new(pool, self.attention.layout, 1, context)
    }

    /// Takes in shallow rows at `pos..` without drafting from them; truncates the cache to `pos` first.
    ///
    /// # Errors
    /// When the cache has no room.
    pub fn extend(&self, kv: &mut KvCache, pos: usize, shallow: &[f32]) -> Result<(), ModelError> {
        let rows = shallow.len() / self.hidden;
        let mut batch = [SeqRows { kv, pos, rows }];
        prepare(&mut batch)?;
        self.attention.project(0, &mut batch, &self.rope.rows(pos..pos + rows), shallow);
        commit(&mut batch);
        Ok(())
    }

    /// Takes in shallow rows at `pos..` and guesses the last layer's rows (before the final norm), `rows x hidden`.
    ///
    /// # Errors
    /// When the cache has no room.
    pub fn forward_at(&self, kv: &mut KvCache, pos: usize, shallow: &[f32]) -> Result<Vec<f32>, ModelError> {
        let rows = shallow.len() / self.hidden;
        let mut batch = [SeqRows { kv, pos, rows }];
        prepare(&mut batch)?;
        let mut x = shallow.to_vec();
        self.attention.forward(0, &mut batch, &self.rope.rows(pos..pos + rows), &mut x);
        commit(&mut batch);
        Ok(x)
    }

    /// Bytes of weights held in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.attention.bytes()
    }
}

/// The width of the drafter's heads: the model's, where it divides the hidden width, else the widest even divisor that is no wider.
#[must_use]
pub fn head_dim(config: &ModelConfig) -> usize {
    (2..=config.head_dim).rev().find(|dim| dim % 2 == 0 && config.hidden.is_multiple_of(*dim)).unwrap_or(config.hidden)
}

/// Cosines and sines by which the drafter's queries and keys at `positions` are rotated, `positions x head_dim / 2` each; pairs are
/// `(i, i + head_dim / 2)`. For trainers, which need the same rotation in differentiable form.
#[must_use]
pub fn rope_angles(config: &ModelConfig, positions: std::ops::Range<usize>) -> (Vec<f32>, Vec<f32>) {
    RopeTable::new(&config.rope, head_dim(config)).rows(positions).into_parts()
}
