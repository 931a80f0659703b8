//! Parts that the fuzz targets share.

pub mod files;
pub mod messages;

use std::fmt::Display;

/// Whatever is wrong with an input must be one line.
pub fn assert_one_line(error: &impl Display) {
    let message = error.to_string();
    assert!(!message.is_empty() && !message.contains('\n'), "{message:?}");
}
