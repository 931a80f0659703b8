//! Setup of every measurement: the model's parts, loaded once.

use std::{ops::Range, sync::Arc};

use tricorn_core::{HiddenCodec, Split};
use tricorn_device::{DeviceParts, Drafting};
use tricorn_model::{DrafterKind, MiddlePart, ModelError, ModelSource};

use super::cloud_process::CloudProgram;
use crate::{error::BenchError, mode::Mode};

/// The model, and how to start a cloud for it.
#[derive(Debug)]
pub struct Setup {
    pub(crate) cloud: CloudProgram,
    pub(crate) middle: Arc<MiddlePart>,
    /// The middle's layers.
    pub(crate) layers: Range<usize>,
    /// Without a drafter, which would otherwise see every prompt.
    plain: DeviceParts,
    /// By the drafter and the codec that modes use.
    others: Vec<(Kind, DeviceParts)>,
}

type Kind = (Option<DrafterKind>, HiddenCodec);

fn kind(mode: &Mode) -> Kind {
    (mode.drafts.map(|drafts| drafts.kind), mode.codec)
}

/// What a mode has unless it says otherwise.
const PLAIN: Kind = (None, HiddenCodec::F16);

impl Setup {
    /// Loads the parts of `source` and those of its drafters that `modes` use.
    ///
    /// # Errors
    /// When the model is a bundle, files are missing or broken, or a mode's drafter is not there.
    pub fn load(
        source: &Arc<ModelSource>,
        split: Split,
        modes: &[Mode],
        cloud: CloudProgram,
    ) -> Result<Self, BenchError> {
        if source.bundle().is_some() {
            return Err(BenchError::Bundle);
        }
        let kv = cloud.kv;
        let load = |(drafter, codec): Kind| {
            DeviceParts::load(source, split, codec, drafter.map_or(Drafting::Off, Drafting::Kind))
                .map(|parts| parts.with_kv(kv))
        };
        let mut others: Vec<(Kind, DeviceParts)> = Vec::new();
        for mode in modes {
            let kind = kind(mode);
            if kind != PLAIN && others.iter().all(|(loaded, _)| *loaded != kind) {
                let parts = load(kind).map_err(|error| match (error, kind) {
                    (ModelError::NoDrafter { .. }, (Some(drafter), _)) => BenchError::NoDrafter {
                        mode: mode.name.clone(),
                        drafter: drafter.to_string(),
                    },
                    (error, _) => error.into(),
                })?;
                others.push((kind, parts));
            }
        }
        let layers = split.ranges(source.config().layers).map_err(ModelError::from)?.middle;
        Ok(Self {
            cloud,
            middle: Arc::new(MiddlePart::load(source, split)?),
            layers,
            plain: load(PLAIN)?,
            others,
        })
    }

    /// Modes of a comparison whose drafters are beside the model.
    #[must_use]
    pub fn available(source: &ModelSource, modes: Vec<Mode>) -> Vec<Mode> {
        let has =
            |kind: DrafterKind| source.file(kind.info_file()).is_ok_and(|file| file.is_some());
        modes.into_iter().filter(|mode| mode.drafts.is_none_or(|drafts| has(drafts.kind))).collect()
    }

    /// The device's parts with the mode's drafter and codec.
    pub(crate) fn parts(&self, mode: &Mode) -> &DeviceParts {
        self.others
            .iter()
            .find(|(loaded, _)| *loaded == kind(mode))
            .map_or(&self.plain, |(_, parts)| parts)
    }

    /// The device's parts without a drafter.
    pub(crate) const fn plain(&self) -> &DeviceParts {
        &self.plain
    }
}
