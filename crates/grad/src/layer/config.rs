//! Configuration of one decoder layer. Each layer has its own, since pruned models are uneven.

use tricorn_model::ModelConfig;

use crate::ops::attention::grouped::HeadShape;

/// The sizes of one decoder layer, and which of the families' parts it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerConfig {
    /// Width of the residual stream.
    pub hidden: usize,
    /// Query heads; 0 where the layer has no attention half.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Width inside the feed-forward half; 0 where the layer has none.
    pub intermediate: usize,
    /// Epsilon of every RMSNorm.
    pub norm_eps: f32,
    /// Positions that a row sees, its own included; `None` for all.
    pub window: Option<usize>,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether attention's output projection has a bias.
    pub o_bias: bool,
    /// Whether the feed-forward projections have biases.
    pub mlp_bias: bool,
    /// Whether queries and keys are normed per head.
    pub qk_norm: bool,
}

impl LayerConfig {
    /// The configuration of a model's layer `layer`.
    #[must_use]
    pub fn of(config: &ModelConfig, layer: usize) -> Self {
        let shape = config.layer(layer);
        Self {
            hidden: config.hidden,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            intermediate: shape.intermediate,
            norm_eps: config.norm_eps,
            window: config.window(layer),
            qkv_bias: config.qkv_bias,
            o_bias: config.o_bias,
            mlp_bias: config.mlp_bias,
            qk_norm: config.qk_norm,
        }
    }

    /// Width of all query heads together.
    #[must_use]
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of all key heads together, and of all value heads.
    #[must_use]
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(crate) fn head_shape(&self) -> HeadShape {
        HeadShape {
            heads: self.heads,
            kv_heads: self.kv_heads,
            dim: self.head_dim,
            window: self.window,
        }
    }
}
