//! Operations on the rows of a matrix.

mod elementwise;
mod norm;
mod softmax;
mod spread;

pub use elementwise::{add, rotate, swiglu};
pub use norm::{rms_norm, rms_norm_in_place};
pub use softmax::softmax;
pub use spread::spread_rows;
