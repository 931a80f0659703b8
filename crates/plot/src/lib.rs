//! Charts of measurements as SVG: readable on a light and on a dark page, for they bring their own
//! background. Every function returns a whole document.

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
