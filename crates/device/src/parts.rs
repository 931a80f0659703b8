//! Device parts: the layers of a model that a device runs, and its drafter.

use std::sync::Arc;
use tricorn_core::{Fingerprint, FormatName, Formats, HiddenCodec, Split};
use tricorn_kernels::KvFormat;
use tricorn_model::{
    BundlePart, Drafter, DrafterKind, InputPart, KvCache, KvPool, ModelError, ModelSource,
    OutputPart, SeqRows,
};

/// The drafter that a device uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drafting {
    /// None: one token a round trip.
    Off,
    /// The best of those beside the model; none where there is none.
    #[default]
    Best,
    /// The one of this kind.
    Kind(DrafterKind),
}

/// First layers, last layers with the head, and the drafter where there is one; shared by all
/// conversations of a device.
#[derive(Debug)]
pub struct DeviceParts {
    pub(crate) input: InputPart,
    pub(crate) output: OutputPart,
    pub(crate) drafter: Option<Drafter>,
    pub(crate) pool: Arc<KvPool>,
    /// The model that these are parts of.
    pub fingerprint: Fingerprint,
    /// The split: the layers at which it is cut.
    pub split: Split,
    /// Values in one hidden row.
    pub hidden: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Tokens that end a text.
    pub stop_tokens: Vec<u32>,
    /// The rounding of hidden rows at both cuts.
    pub codec: HiddenCodec,
    /// Formats of weights and KV caches.
    pub formats: Formats,
}

impl DeviceParts {
    /// Reads the device's parts of a model or of a device bundle, and the drafter asked for.
    ///
    /// # Errors
    /// When files are missing or broken, the split does not fit, or the drafter is not there or was
    /// trained for another model or split.
    pub fn load(
        source: &Arc<ModelSource>,
        split: Split,
        codec: HiddenCodec,
        drafting: Drafting,
    ) -> Result<Self, ModelError> {
        source.expect_part(BundlePart::Device, split)?;
        let config = source.config();
        Ok(Self {
            input: InputPart::load(source, split)?,
            output: OutputPart::load(source, split)?,
            drafter: match drafting {
                Drafting::Off => None,
                Drafting::Best => Drafter::load(source, split, None)?,
                Drafting::Kind(kind) => Drafter::load(source, split, Some(kind))?,
            },
            pool: KvPool::new(usize::MAX),
            fingerprint: source.fingerprint()?,
            split,
            hidden: config.hidden,
            context: config.context,
            stop_tokens: config.eos.clone(),
            codec,
            formats: Formats {
                weights: source.weights_format().and_then(FormatName::new),
                kv: FormatName::new(KvFormat::default().name()),
            },
        })
    }

    /// The same parts with KV caches in another format than [`KvFormat::F16`].
    #[must_use]
    pub fn with_kv(self, format: KvFormat) -> Self {
        let formats = Formats { kv: FormatName::new(format.name()), ..self.formats };
        Self { pool: KvPool::with_format(usize::MAX, format), formats, ..self }
    }

    /// The drafter, where there is one.
    #[must_use]
    pub fn drafter(&self) -> Option<&Drafter> {
        self.drafter.as_ref()
    }

    /// Bytes of weights held in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.input.bytes() + self.output.bytes() + self.drafter.as_ref().map_or(0, Drafter::bytes)
    }

    /// Bytes of a hidden row on the wire, at most.
    pub(crate) fn row_bytes(&self) -> usize {
        self.hidden * self.codec.bytes_per_value()
    }

    /// The shallow rows of `tokens` at `pos..`, rounded by the codec.
    pub(crate) fn shallow(
        &self,
        kv: &mut KvCache,
        pos: usize,
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        self.rounded(self.input.forward_at(kv, pos, tokens)?)
    }

    /// The shallow rows of `tokens`, of several sequences.
    pub(crate) fn shallow_batch(
        &self,
        batch: &mut [SeqRows<'_>],
        tokens: &[u32],
    ) -> Result<Vec<f32>, ModelError> {
        self.rounded(self.input.forward_batch(batch, tokens)?)
    }

    fn rounded(&self, mut rows: Vec<f32>) -> Result<Vec<f32>, ModelError> {
        self.codec.round(&mut rows);
        all_finite(&rows, "first layers")?;
        Ok(rows)
    }
}

/// Checks what the wire checks, where no wire is.
pub(crate) fn all_finite(rows: &[f32], part: &'static str) -> Result<(), ModelError> {
    if rows.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(ModelError::NotFinite { part })
    }
}
