//! Optimiser of the drafter: AdamW, with matrices and norms in groups of their own.

use tricorn_grad::{AdamW, AdamWSettings, Decay, GradError, Group, Member, Schedule};
use tricorn_model::{DrafterKind, ModelConfig};

use crate::{config::DistillConfig, student::tensors::Tensors};

/// Moments that follow gradients faster than PyTorch's defaults.
const SETTINGS: AdamWSettings = AdamWSettings { betas: (0.9, 0.95), epsilon: 1e-8 };
/// Share of a matrix that a step with learning rate 1 would take away.
const WEIGHT_DECAY: f64 = 0.01;
/// Share of the peak learning rate that remains at the end.
const FLOOR: f64 = 0.05;
const MATRICES: &str = "matrices";
const NORMS: &str = "norms";

/// An optimiser of a drafter's tensors, as [`DrafterKind::tensors`] orders them. Matrices decay,
/// norms do not; each number of a gradient is held within `clip` of zero.
pub(crate) fn optimizer(
    kind: DrafterKind,
    config: &ModelConfig,
    clip: f32,
) -> Result<AdamW, GradError> {
    let groups = vec![
        Group::new(MATRICES).weight_decay(WEIGHT_DECAY).clip_elements(clip),
        Group::new(NORMS).clip_elements(clip),
    ];
    let named = kind.tensors(config).into_iter().zip(Tensors::are_norms(kind));
    let members = named.map(|((name, shape), is_norm)| Member {
        name: name.to_owned(),
        len: shape.iter().product(),
        group: if is_norm { NORMS } else { MATRICES }.to_owned(),
    });
    AdamW::new(SETTINGS, groups, members)
}

/// The learning rate over a run.
pub(crate) fn schedule(config: &DistillConfig) -> Schedule {
    Schedule {
        peak: config.learning_rate,
        warmup: config.warmup_steps,
        decay: Decay::Cosine { floor: FLOOR },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{TempDir, tiny_model};

    #[test]
    fn norms_do_not_decay_and_everything_else_does() {
        let dir = TempDir::new();
        let source = tiny_model(&dir, &json!({}));
        for kind in DrafterKind::ALL {
            let mut optimizer = optimizer(kind, source.config(), 0.5).unwrap();
            let mut weights = Tensors::zero(kind, source.config());
            weights.all_mut().into_iter().for_each(|values| values.fill(1.0));
            let gradients = Tensors::zero(kind, source.config());
            weights.learn(&mut optimizer, 0.1, &gradients).unwrap();
            for ((name, _), values) in kind.tensors(source.config()).iter().zip(weights.all()) {
                let expected = if name.ends_with("norm.weight") { 1.0 } else { 0.999 };
                assert!(values.iter().all(|v| *v == expected), "{name}");
            }
        }
    }
}
