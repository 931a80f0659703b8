//! The parts of a model that a device runs.

use std::sync::Arc;
use tricorn_core::{Fingerprint, HiddenCodec, Split};
use tricorn_model::{Drafter, InputPart, KvPool, ModelError, ModelSource, OutputPart, source::BundlePart};

/// First layers, last layers with the head, and the drafter where there is one; shared by all conversations of a device.
#[derive(Debug)]
pub struct Ends {
    pub(crate) input: InputPart,
    pub(crate) output: OutputPart,
    pub(crate) drafter: Option<Drafter>,
    pub(crate) pool: Arc<KvPool>,
    /// The model that these are the ends of.
    pub fingerprint: Fingerprint,
    /// Where it is cut.
    pub split: Split,
    /// Values in one hidden row.
    pub hidden: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Tokens that end a text.
    pub stop_tokens: Vec<u32>,
    /// How hidden rows are rounded at both cuts.
    pub codec: HiddenCodec,
}

impl Ends {
    /// Reads the device's parts of a model or of a device bundle, and its drafter unless `draft` is false.
    ///
    /// # Errors
    /// When files are missing or broken, the split does not fit, or the drafter was trained for another model or split.
    pub fn load(source: &Arc<ModelSource>, split: Split, codec: HiddenCodec, draft: bool) -> Result<Self, ModelError> {
        source.expect_part(BundlePart::Device, split)?;
        let config = source.config();
        Ok(Self {
            input: InputPart::load(source, split)?,
            output: OutputPart::load(source, split)?,
            drafter: if draft { Drafter::load(source, split)? } else { None },
            pool: KvPool::new(usize::MAX),
            fingerprint: source.fingerprint(),
            split,
            hidden: config.hidden,
            context: config.context,
            stop_tokens: config.eos.clone(),
            codec,
        })
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
}
