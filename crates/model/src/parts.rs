//! Parts of a split model: the device's two, the cloud's, and layers on their own. Positions and
//! rows are in tokens; hidden rows are `hidden` f32 values each.

mod backend;
mod input;
mod layers;
mod middle;
mod output;

pub use input::{InputPart, embed};
pub use layers::DecoderLayers;
pub use middle::MiddlePart;
pub use output::{OutputPart, head_table};
