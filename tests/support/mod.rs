//! Parts that the end-to-end tests share. They run the real binary, and every wait in them ends: in
//! the answer, or in a panic after [`LIMIT`].

mod cloud;
mod device;
mod files;
mod http;
mod models;
mod process;

pub use cloud::Cloud;
pub use device::{Device, Local, Remote, ask, greedy, on_token, runtime};
pub use files::{TempDir, copy_dir};
pub use http::post;
pub use models::{
    FAMILIES, calm_model, demo, fair_drafter, fixture, poor_drafter, split, stories_prompts,
    write_drafter, write_drafter_of,
};
pub use process::{Finished, LIMIT, Running, run, run_with_input, tricorn, until};
