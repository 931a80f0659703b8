//! Charts of measurements as SVG. They bring their own background, so they are readable on light
//! and dark pages. Every function returns a whole document.

#![forbid(unsafe_code)]

mod axis;
mod bars;
mod cdf;
mod curve;
mod number;
mod series;
mod svg;
mod waterfall;

pub use bars::{Bar, Group, bars};
pub use cdf::cdf;
pub use curve::{Curve, curve};
pub use number::three_digits;
pub use series::{Series, lines};
pub use waterfall::waterfall;
