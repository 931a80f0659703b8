//! The device's drafter: turns shallow rows into guesses of the last layer's rows, which the
//! model's own final norm and head turn into token distributions.

mod attention;
mod fused;
mod hat;
mod info;

use crate::{
    config::ModelConfig,
    drafter_kind::DrafterKind,
    error::ModelError,
    kv::{KvCache, KvPool},
    layers::{
        SeqRows,
        batch::{commit, prepare},
        rope::{RopeRows, RopeTable},
    },
    source::ModelSource,
    weights::Weights,
};
use fused::Fused;
use hat::Hat;
pub use info::DrafterInfo;
use info::broken;
use std::sync::Arc;
use tricorn_core::{Fingerprint, Split};
use tricorn_kernels::BlockLayout;

/// A loaded drafter.
#[derive(Debug)]
pub struct Drafter {
    net: Net,
    layout: Arc<BlockLayout>,
    rope: RopeTable,
    hidden: usize,
    info: DrafterInfo,
}

#[derive(Debug)]
enum Net {
    Hat(Box<Hat>),
    Fused(Box<Fused>),
}

impl DrafterKind {
    /// Names and shapes of the tensors in [`DrafterKind::weights_file`], in the order of
    /// computation; matrices are row-major, outputs first.
    #[must_use]
    pub fn tensors(self, config: &ModelConfig) -> Vec<(&'static str, Vec<usize>)> {
        match self {
            Self::Hat => hat::tensors(config),
            Self::Fused => fused::tensors(config),
        }
    }
}

impl Drafter {
    /// The drafter of `kind` beside a model; with no kind asked for, of those that fit the one that
    /// is expected to gain the most (see [`DrafterInfo::cmp_by_gain`]). `None` when no kind was
    /// asked for and there is none.
    ///
    /// # Errors
    /// When the kind asked for is not there, or the drafter is broken or was trained for another
    /// model or split.
    pub fn load(
        source: &ModelSource,
        split: Split,
        kind: Option<DrafterKind>,
    ) -> Result<Option<Self>, ModelError> {
        let info = match kind {
            Some(kind) => DrafterInfo::read(source, kind)?,
            None => {
                let fits = |info: &DrafterInfo| fits(info, source, split).is_ok();
                let better = |a: &DrafterInfo, b: &DrafterInfo| {
                    fits(a).cmp(&fits(b)).then_with(|| a.cmp_by_gain(b))
                };
                DrafterInfo::read_all(source)?.into_iter().max_by(better)
            }
        };
        let Some(info) = info else {
            for kind in kind.map_or(DrafterKind::ALL.to_vec(), |kind| vec![kind]) {
                if source.file(kind.weights_file())?.is_some() {
                    return Err(broken(format!(
                        "{} is there and {} is not",
                        kind.weights_file(),
                        kind.info_file()
                    )));
                }
            }
            return kind.map_or(Ok(None), |kind| Err(ModelError::NoDrafter { kind }));
        };
        let file = info.kind.weights_file();
        let weights = source.side_weights(file).map_err(|error| broken(error.to_string()))?;
        let weights = weights.ok_or_else(|| {
            broken(format!("{} is there and {file} is not", info.kind.info_file()))
        })?;
        fits(&info, source, split)?;
        Self::from_weights(&weights, source.config(), info).map(Some)
    }

    /// Builds a drafter from the tensors of its kind.
    ///
    /// # Errors
    /// When a tensor is missing or has the wrong shape.
    pub fn from_weights(
        weights: &Weights,
        config: &ModelConfig,
        info: DrafterInfo,
    ) -> Result<Self, ModelError> {
        let net = match info.kind {
            DrafterKind::Hat => Net::Hat(Box::new(Hat::load(weights, config)?)),
            DrafterKind::Fused => Net::Fused(Box::new(Fused::load(weights, config)?)),
        };
        let head_dim = head_dim(config);
        if !config.rope.covers(head_dim) {
            return Err(broken(format!("the model has no rotary angles for heads of {head_dim}")));
        }
        Ok(Self {
            net,
            layout: Arc::new(attention::layout(config)),
            rope: RopeTable::new(&config.rope, head_dim),
            hidden: config.hidden,
            info,
        })
    }

    /// What it was trained for.
    #[must_use]
    pub fn info(&self) -> &DrafterInfo {
        &self.info
    }

    /// Its architecture.
    #[must_use]
    pub fn kind(&self) -> DrafterKind {
        self.info.kind
    }

    /// Whether it reads the `previous` rows; if not, they may be left out everywhere.
    #[must_use]
    pub fn reads_deep(&self) -> bool {
        matches!(self.net, Net::Fused(_))
    }

    /// An empty cache for one sequence of at most `context` positions.
    #[must_use]
    pub fn new_kv(&self, pool: &Arc<KvPool>, context: usize) -> KvCache {
        KvCache::new(pool, &self.layout, context)
    }

    /// Takes in rows at `pos..` without drafting from them; truncates the cache to `pos` first.
    /// Rows as in [`Drafter::forward`].
    ///
    /// # Errors
    /// When the cache has no room.
    pub fn extend(
        &self,
        kv: &mut KvCache,
        pos: usize,
        shallow: &[f32],
        previous: &[f32],
    ) -> Result<(), ModelError> {
        let batch = &mut [SeqRows { kv, pos, rows: shallow.len() / self.hidden }];
        let rope = self.begin(batch)?;
        match &self.net {
            Net::Hat(hat) => hat.extend(batch, &rope, shallow),
            Net::Fused(fused) => fused.extend(batch, &rope, shallow, previous),
        }
        commit(batch);
        Ok(())
    }

    /// A guess of the last layer's row (before the final norm) for every row of a ragged batch:
    /// `rows x hidden`.
    ///
    /// `shallow` holds the rows of the first layers, `previous` for a row at position `p` the last
    /// layer's row at `p - 1`: the true one where the cloud has answered it, the drafter's own
    /// guess while drafting, zeros where none is known (in the prompt, at position 0). An empty
    /// `previous` stands for zeros everywhere.
    ///
    /// # Errors
    /// When a cache has no room.
    pub fn forward(
        &self,
        batch: &mut [SeqRows<'_>],
        shallow: &[f32],
        previous: &[f32],
    ) -> Result<Vec<f32>, ModelError> {
        let rope = self.begin(batch)?;
        let guess = match &self.net {
            Net::Hat(hat) => hat.forward(batch, &rope, shallow),
            Net::Fused(fused) => fused.forward(batch, &rope, shallow, previous),
        };
        commit(batch);
        Ok(guess)
    }

    /// As [`Drafter::forward`], for one sequence's rows at `pos..`.
    ///
    /// # Errors
    /// When the cache has no room.
    pub fn forward_at(
        &self,
        kv: &mut KvCache,
        pos: usize,
        shallow: &[f32],
        previous: &[f32],
    ) -> Result<Vec<f32>, ModelError> {
        self.forward(
            &mut [SeqRows { kv, pos, rows: shallow.len() / self.hidden }],
            shallow,
            previous,
        )
    }

    fn begin(&self, batch: &mut [SeqRows<'_>]) -> Result<RopeRows, ModelError> {
        prepare(batch)?;
        Ok(self.rope.rows(batch.iter().flat_map(|seq| seq.pos..seq.pos + seq.rows)))
    }

    /// Bytes of weights held in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.net {
            Net::Hat(hat) => hat.bytes(),
            Net::Fused(fused) => fused.bytes(),
        }
    }
}

/// Checks that a drafter was trained for this model and split.
fn fits(info: &DrafterInfo, source: &ModelSource, split: Split) -> Result<(), ModelError> {
    let fingerprint = source.fingerprint()?;
    if Fingerprint::from_hex(&info.fingerprint) != Some(fingerprint) {
        let (found, expected) =
            (format!("model {:.16}", info.fingerprint), format!("model {fingerprint}"));
        return Err(ModelError::WrongDrafter { found, expected });
    }
    if info.split()?.input_layers != split.input_layers {
        return Err(ModelError::WrongDrafter {
            found: format!("split {}", info.split),
            expected: format!("split {split}"),
        });
    }
    Ok(())
}

/// The width of the drafter's heads: the model's (its widest), where it divides the hidden width,
/// else the widest even divisor that is no wider.
#[must_use]
pub fn head_dim(config: &ModelConfig) -> usize {
    let widest = config.shapes().iter().map(|shape| shape.head_dim).max().unwrap_or(0);
    (2..=widest)
        .rev()
        .find(|dim| dim % 2 == 0 && config.hidden.is_multiple_of(*dim))
        .unwrap_or(config.hidden)
}

/// The width inside the fused drafter's feed-forward block: the model's, its widest.
#[must_use]
pub fn intermediate(config: &ModelConfig) -> usize {
    config.shapes().iter().map(|shape| shape.intermediate).max().unwrap_or(config.hidden)
}

/// Cosines and sines by which the drafter's queries and keys at `positions` are rotated, `positions
/// x head_dim / 2` each; pairs are `(i, i + head_dim / 2)`. For trainers, which need the same
/// rotation in differentiable form.
#[must_use]
pub fn rope_angles(
    config: &ModelConfig,
    positions: std::ops::Range<usize>,
) -> (Vec<f32>, Vec<f32>) {
    RopeTable::new(&config.rope, head_dim(config)).rows(positions).into_parts()
}
