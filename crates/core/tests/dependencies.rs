//! Dependencies of the crates at the bottom of the workspace.

use std::{path::Path, process::Command};

use serde_json::Value;

#[test]
fn core_and_kernels_depend_on_no_other_crate_of_ours() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let bottom: Vec<&Value> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|package| {
            let name = package["name"].as_str().unwrap();
            ["tricorn-core", "tricorn-kernels", "tricorn-text"].contains(&name)
        })
        .collect();
    assert!(bottom.iter().any(|package| package["name"] == "tricorn-core"));
    for package in bottom {
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            assert!(!name.starts_with("tricorn"), "{} depends on {name}", package["name"]);
        }
    }
}
