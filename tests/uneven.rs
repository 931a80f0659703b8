//! A model whose layers differ in heads, head width and FFN width writes one text in every mode.
#![cfg(unix)]

use std::path::Path;

use serde_json::Value;

use crate::support::{Cloud, TempDir, fair_drafter, poor_drafter, run, uneven_model};

const CUT: &str = "2:1";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Tokens of a run of `model` with these flags.
fn tokens(model: &Path, flags: &[&str]) -> Value {
    let common = ["run", "--json", "--max-tokens", "32", "--model", text(model)];
    let prompt = ["The hat told the cloud a story, and the cloud wrote it down."];
    let finished = run([&common[..], flags, &prompt].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.json()["token_ids"].take()
}

#[test]
fn drafts_chunks_and_formats_do_not_change_the_text() {
    let plain = uneven_model();
    // One drafter is right as often as chance has it, the other often.
    for model in [poor_drafter(plain.path(), CUT), fair_drafter(plain.path(), CUT)] {
        for kv in ["f16", "q8", "f32"] {
            let run = |flags: &[&str]| {
                tokens(model.path(), &[&["--split", CUT, "--kv", kv], flags].concat())
            };
            let expected = run(&["--local", "--no-draft"]);
            assert_eq!(expected.as_array().map(Vec::len), Some(32));
            assert_eq!(run(&["--local"]), expected, "{kv} drafted");
            assert_eq!(run(&["--local", "--chunk", "3"]), expected, "{kv} in chunks");
            let cloud = Cloud::start_with(model.path(), CUT, 0, &["--kv", kv]);
            let url = cloud.url();
            assert_eq!(run(&["--cloud", &url]), expected, "{kv} over a cloud");
            assert_eq!(run(&["--cloud", &url, "--no-draft", "--chunk", "5"]), expected, "{kv}");
        }
    }
}

#[test]
fn cut_in_stages_quantised_and_packed_it_is_the_same_model() {
    let model = fair_drafter(uneven_model().path(), CUT);
    for (quant, flags) in [("f32", &[][..]), ("q8", &["--quant", "q8"][..])] {
        let expected = tokens(model.path(), &[&["--split", CUT, "--local"], flags].concat());
        for cut in ["1:0", "3:2"] {
            let flags = [&["--split", cut, "--local", "--no-draft"], flags].concat();
            assert_eq!(tokens(model.path(), &flags), expected, "{quant} cut at {cut}");
        }
        let stage =
            |more: &[&str]| Cloud::start_with(model.path(), CUT, 0, &[more, flags].concat());
        let second = stage(&["--layers", "4..5"]);
        let first = stage(&["--layers", "2..4", "--next", &second.url()]);
        let url = first.url();
        let staged = tokens(model.path(), &[&["--split", CUT, "--cloud", &url], flags].concat());
        assert_eq!(staged, expected, "{quant} in stages");

        let out = TempDir::new();
        let (parts, whole) = (out.file("parts"), out.file("whole"));
        let pack = ["pack", "--model", text(model.path()), "--out"];
        let packed = [
            run([&pack[..], &[text(&parts), "--split", CUT], flags].concat()),
            run([&pack[..], &[text(&whole), "--whole"], flags].concat()),
        ];
        assert!(packed.iter().all(|finished| finished.code == Some(0)), "{packed:?}");
        let cloud = Cloud::start(&parts.join("cloud"), CUT);
        assert_eq!(tokens(&parts.join("device"), &["--cloud", &cloud.url()]), expected, "{quant}");
        assert_eq!(tokens(&whole, &["--local", "--split", CUT]), expected, "{quant} packed");
    }
}

#[test]
fn inspect_shows_the_shapes() {
    let model = uneven_model();
    let json = run(["inspect", "--json", "--split", CUT, text(model.path())]).json();
    let shapes = json["layer_shapes"].as_array().unwrap();
    assert_eq!(shapes.len(), 6);
    assert_eq!(
        shapes[1],
        serde_json::json!({ "heads": 6, "kv_heads": 3, "head_dim": 8, "intermediate": 40 })
    );
    // Keys and values of two bytes: layers 0, 1 and 5 on the device, 2 to 4 in the cloud.
    assert_eq!(json["device_kv_bytes_per_token"], 4 * (2 * 16 + 3 * 8 + 8));
    assert_eq!(json["cloud_kv_bytes_per_token"], 4 * (16 + 3 * 10));
    let shown = run(["inspect", "--split", CUT, text(model.path())]);
    assert!(
        shown
            .stdout
            .contains("heads 0 to 6, KV heads 0 to 3, head width 0 to 16, FFN width 0 to 96"),
        "{shown:?}"
    );
    let demo = run(["inspect", "--json", "demo"]).json();
    assert!(demo.get("layer_shapes").is_none());
}
