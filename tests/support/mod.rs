//! Parts that the end-to-end tests share. They run the real binary, and every wait in them ends: in
//! the answer, or in a panic after [`LIMIT`].

mod cloud;
mod device;
mod files;
mod http;
mod models;
mod process;

pub(crate) use cloud::Cloud;
pub(crate) use device::{Device, ask, greedy, on_token, runtime};
pub(crate) use files::{TempDir, copy_dir};
pub(crate) use http::post;
pub(crate) use models::{
    FAMILIES, calm_model, demo, fair_drafter, fixture, poor_drafter, split, stories_prompts,
    uneven_model, write_drafter_of,
};
pub(crate) use process::{Finished, LIMIT, Running, run, run_with_input, tricorn, until};
