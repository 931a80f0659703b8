//! Names of tensors, as Hugging Face transformers gives them. Other formats are translated to them.

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(crate) const NORM: &str = "model.norm.weight";
const HEAD: &str = "lm_head.weight";

/// The name of the language-model head's table; `tied` when the embedding is the head.
pub(crate) fn head_name(tied: bool) -> &'static str {
    // Checkpoints of tied models may carry a copy under the head's own name; transformers ignores
    // it, and so must we.
    if tied { EMBEDDING } else { HEAD }
}

/// The decoder layer that a tensor belongs to.
pub(crate) fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?.split('.').next()?.parse().ok()
}
