//! Lessons: training texts with the rows that the model computes for them.

pub(crate) mod data;
pub(crate) mod feed;
mod memory;
pub(crate) mod teacher;
pub(crate) mod text;
