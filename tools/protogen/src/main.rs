//! Writes `crates/wire/src/generated.rs` from `proto/tricorn/v1/tricorn.proto`, so that building
//! Tricorn needs no protobuf compiler.
//!
//! Run it after every change of the contract: `cargo run --manifest-path
//! tools/protogen/Cargo.toml`.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let proto_dir = root.join("proto");
    let proto = proto_dir.join("tricorn/v1/tricorn.proto");
    let target = root.join("crates/wire/src/generated.rs");

    let descriptors = protox::compile([&proto], [&proto_dir])?;
    let out = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .out_dir(out.path())
        .bytes(".")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    let code = fs::read_to_string(out.path().join("tricorn.v1.rs"))?;
    let hash = fnv1a64(&fs::read_to_string(&proto)?);
    let header = format!(
        "// Written by tools/protogen from proto/tricorn/v1/tricorn.proto; do not edit.\n\
         // proto-fnv1a64: {hash:016x}\n"
    );
    fs::write(&target, header + &code)?;
    println!("wrote {}", target.display());
    Ok(())
}

/// Must equal the function of the same name in crates/wire/src/lib.rs. Line endings do not count:
/// git may change them.
fn fnv1a64(text: &str) -> u64 {
    text.bytes().filter(|&byte| byte != b'\r').fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
