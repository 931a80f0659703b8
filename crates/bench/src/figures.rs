//! Figures: statistics, units and tables.

mod stats;
mod table;
mod units;

pub use stats::Summary;
pub(crate) use stats::{median, quantile, ratio, sorted};
pub(crate) use table::Table;
pub(crate) use units::{bytes, ms, percent, short};
