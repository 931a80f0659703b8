//! A GGUF file of any bytes. Good seeds: small GGUF files.
#![no_main]

use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| tricorn_fuzz::files::folder("gguf").join("model.gguf"));

fuzz_target!(|bytes: &[u8]| {
    fs::write(&*FILE, bytes).expect("a temporary file");
    tricorn_fuzz::files::read(&FILE);
});
