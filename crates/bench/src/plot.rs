//! Pictures of a report, as SVG: readable on a light and on a dark page, for they bring their own
//! background.

mod axis;
mod bars;
mod cdf;
mod series;
mod svg;
mod waterfall;

pub(crate) use bars::{Bar, Group, bars};
pub(crate) use cdf::cdf;
pub(crate) use series::{Line, lines};
pub(crate) use waterfall::waterfall;

/// Colours that stay apart for most colour-blind readers (Okabe and Ito 2008), dark enough for a
/// white ground.
const COLOURS: [&str; 8] =
    ["#7a7a7a", "#e69f00", "#56b4e9", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#b8a800"];

/// The colour of the `index`th thing that is compared.
pub(crate) const fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}
