//! A safetensors file of any bytes beside a good configuration. Good seeds:
//! `tests/fixtures/*/model.safetensors`.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = tricorn_fuzz::files::folder("safetensors");
    let config = include_bytes!("../../tests/fixtures/llama/config.json");
    fs::write(folder.join("config.json"), config).expect("a temporary file");
    folder
});

fuzz_target!(|bytes: &[u8]| {
    fs::write(FOLDER.join("model.safetensors"), bytes).expect("a temporary file");
    tricorn_fuzz::files::read(&FOLDER);
});
