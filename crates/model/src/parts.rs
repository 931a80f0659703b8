//! The three parts of a split model. Positions and rows are in tokens; hidden rows are `hidden` f32
//! values each.

mod backend;
mod input;
mod middle;
mod output;

pub use input::InputPart;
pub use middle::MiddlePart;
pub use output::{OutputPart, head_table};
