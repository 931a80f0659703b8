//! Observer of a layer's activations during a forward pass, for calibration.

/// An activation inside a decoder layer, as rows of the width given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Activation {
    /// The residual stream that enters the layer: `hidden` wide.
    Input,
    /// The normed input of the query, key and value projections: `hidden` wide.
    AttentionInput,
    /// The outputs of all heads side by side, the input of `o_proj`: `heads * head_dim` wide.
    HeadOutputs,
    /// The normed input of the gate and up projections: `hidden` wide.
    MlpInput,
    /// `silu(gate) * up`, the input of `down_proj`: `intermediate` wide.
    Inner,
    /// The residual stream that leaves the layer: `hidden` wide.
    Output,
}

/// A receiver of activations. They come layer by layer in the order of [`Activation`]; those of a
/// block that a layer does not have are left out.
pub trait LayerObserver {
    /// Takes an activation of `layer`, numbered as in the whole model: `values` are the rows of
    /// all sequences of the call, one after the other, `width` numbers each.
    fn observe(&mut self, layer: usize, activation: Activation, values: &[f32], width: usize);
}

impl<F: FnMut(usize, Activation, &[f32], usize)> LayerObserver for F {
    fn observe(&mut self, layer: usize, activation: Activation, values: &[f32], width: usize) {
        self(layer, activation, values, width);
    }
}

/// Nobody looks.
pub(crate) struct Unobserved;

impl LayerObserver for Unobserved {
    #[inline(always)]
    fn observe(&mut self, _: usize, _: Activation, _: &[f32], _: usize) {}
}
