//! The default split of a model.

use crate::{drafter::DrafterInfo, error::ModelError, source::ModelSource};
use tricorn_core::Split;

/// The split to use where none is asked for: the bundle's, else the one its best drafter was
/// trained for, else the paper's two first layers (one for models of fewer than four).
///
/// # Errors
/// When the drafter's description is broken.
pub fn default_split(source: &ModelSource) -> Result<Split, ModelError> {
    if let Some(bundle) = source.bundle() {
        return Ok(bundle.split);
    }
    let best = DrafterInfo::read_all(source)?.into_iter().max_by(DrafterInfo::cmp_by_gain);
    if let Some(info) = best {
        return info.split();
    }
    Ok(Split { input_layers: if source.config().layers < 4 { 1 } else { 2 }, output_layers: 0 })
}
