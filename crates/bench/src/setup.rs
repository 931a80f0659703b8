//! What every measurement needs: the model's parts, loaded once.

use std::{ops::Range, sync::Arc};

use tricorn_core::{HiddenCodec, Split};
use tricorn_device::{Drafting, Ends};
use tricorn_model::{DrafterKind, MiddlePart, ModelError, ModelSource};

use crate::{BenchError, cloud_process::CloudProgram, mode::Mode};

/// The model, and how to start a cloud for it.
#[derive(Debug)]
pub struct Setup {
    pub(crate) cloud: CloudProgram,
    pub(crate) middle: Arc<MiddlePart>,
    /// The middle's layers.
    pub(crate) layers: Range<usize>,
    /// Without a drafter, which would otherwise see every prompt.
    plain: Ends,
    drafting: Vec<(DrafterKind, Ends)>,
}

impl Setup {
    /// Loads the parts of `source` and those of its drafters that `modes` use.
    ///
    /// # Errors
    /// When the model is a bundle, files are missing or broken, or a mode's drafter is not there.
    pub fn load(source: &Arc<ModelSource>, split: Split, modes: &[Mode], cloud: CloudProgram) -> Result<Self, BenchError> {
        if source.bundle().is_some() {
            return Err(BenchError::Bundle);
        }
        let kv = cloud.kv;
        let load = |drafting| Ends::load(source, split, HiddenCodec::default(), drafting).map(|ends| ends.with_kv(kv));
        let mut drafting: Vec<(DrafterKind, Ends)> = Vec::new();
        for mode in modes {
            let Some(kind) = mode.drafts.map(|drafts| drafts.kind) else { continue };
            if drafting.iter().all(|(loaded, _)| *loaded != kind) {
                let ends = load(Drafting::Kind(kind)).map_err(|error| match error {
                    ModelError::NoDrafter { .. } => BenchError::NoDrafter { mode: mode.name.clone(), drafter: kind.to_string() },
                    error => error.into(),
                })?;
                drafting.push((kind, ends));
            }
        }
        let layers = split.ranges(source.config().layers).map_err(ModelError::from)?.middle;
        Ok(Self { cloud, middle: Arc::new(MiddlePart::load(source, split)?), layers, plain: load(Drafting::Off)?, drafting })
    }

    /// Modes of a comparison whose drafters are beside the model.
    #[must_use]
    pub fn available(source: &ModelSource, modes: Vec<Mode>) -> Vec<Mode> {
        let has = |kind: DrafterKind| source.file(kind.info_file()).is_ok_and(|file| file.is_some());
        modes.into_iter().filter(|mode| mode.drafts.is_none_or(|drafts| has(drafts.kind))).collect()
    }

    /// The device's parts with the mode's drafter.
    pub(crate) fn ends(&self, mode: &Mode) -> &Ends {
        let kind = mode.drafts.map(|drafts| drafts.kind);
        self.drafting.iter().find(|(loaded, _)| Some(*loaded) == kind).map_or(&self.plain, |(_, ends)| ends)
    }

    /// The device's parts without a drafter.
    pub(crate) const fn plain(&self) -> &Ends {
        &self.plain
    }
}
