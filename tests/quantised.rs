//! Quantised weights: the same text in every mode, packed or not, and what they cost.
#![cfg(unix)]

use std::{fs, path::Path};

use crate::support::{Cloud, TempDir, demo, fair_drafter, fixture, run};
use serde_json::Value;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Tokens of a run of `model` with these flags.
fn tokens(model: &Path, flags: &[&str]) -> Value {
    let common = [
        "run",
        "--json",
        "--max-tokens",
        "24",
        "--model",
        text(model),
        "The hat told the cloud a story.",
    ];
    run([&common[..], flags].concat()).json()["token_ids"].take()
}

#[test]
fn the_text_is_that_of_the_quantised_model_in_every_mode() {
    let cut = "2:1";
    for (model, quant) in
        [(fair_drafter(&fixture("qwen3"), cut), "q8"), (crate::support::copy_dir(&demo()), "q4k")]
    {
        let quantised = ["--quant", quant, "--split", cut];
        let expected = tokens(model.path(), &[&quantised[..], &["--local"]].concat());
        assert_eq!(expected.as_array().map(Vec::len), Some(24));
        let cloud = Cloud::start_with(model.path(), cut, 0, &["--quant", quant]);
        assert_eq!(
            tokens(model.path(), &[&quantised[..], &["--cloud", &cloud.url()]].concat()),
            expected
        );
        assert_eq!(
            tokens(
                model.path(),
                &[&quantised[..], &["--local", "--no-draft", "--chunk", "3"]].concat()
            ),
            expected
        );

        let out = TempDir::new();
        let (parts, whole) = (out.file("parts"), out.file("whole"));
        run([
            "pack",
            "--model",
            text(model.path()),
            "--quant",
            quant,
            "--split",
            cut,
            "--out",
            text(&parts),
        ]);
        run([
            "pack",
            "--model",
            text(model.path()),
            "--quant",
            quant,
            "--whole",
            "--out",
            text(&whole),
        ]);
        let packed = Cloud::start(&parts.join("cloud"), cut);
        assert_eq!(tokens(&parts.join("device"), &["--cloud", &packed.url()]), expected);
        assert_eq!(tokens(&whole, &["--local", "--split", cut]), expected);
    }
}

#[test]
fn sides_that_would_write_another_text_refuse_each_other() {
    let cut = "2:1";
    let model = crate::support::copy_dir(&fixture("qwen3"));
    let out = TempDir::new();
    run([
        "pack",
        "--model",
        text(model.path()),
        "--quant",
        "q8",
        "--split",
        cut,
        "--out",
        text(&out.file("parts")),
    ]);
    let cloud = Cloud::start_with(model.path(), cut, 0, &["--quant", "q8"]);
    let device = |model: &Path, url: &str, flags: &[&str]| {
        run([&["run", "--split", cut, "--cloud", url, "--model", text(model), "Once"], flags]
            .concat())
    };
    for (flags, parts) in [
        (&[][..], ["the device holds weights as stored", "this cloud as q8", "--quant"]),
        (
            &["--quant", "q8", "--kv", "f32"],
            ["the device has KV caches in f32", "this cloud in f16", "--kv"],
        ),
    ] {
        let refused = device(model.path(), &cloud.url(), flags);
        let line = refused.error(3);
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    // Quantised while it is loaded or before, it is one model.
    for packed in [
        device(model.path(), &cloud.url(), &["--quant", "q8"]),
        device(&out.file("parts/device"), &cloud.url(), &[]),
    ] {
        assert_eq!(packed.code, Some(0), "{packed:?}");
    }
    // Stages as well.
    let later = Cloud::start_with(model.path(), cut, 0, &["--quant", "q8", "--layers", "3..4"]);
    let first = run([
        "cloud",
        "--model",
        text(model.path()),
        "--split",
        cut,
        "--layers",
        "2..3",
        "--listen",
        "127.0.0.1:0",
        "--next",
        &later.url(),
    ]);
    assert!(
        first.error(3).contains("the stage before holds weights as stored, this one as q8"),
        "{first:?}"
    );
}

#[test]
fn inspect_and_pack_tell_what_quantising_saves() {
    let out = TempDir::new();
    let inspect = |flags: &[&str]| run([&["inspect", "--json"], flags].concat()).json();
    let middle = |json: &Value| json["middle_resident_bytes"].as_f64().unwrap();
    let (stored, quantised) = (inspect(&["demo"]), inspect(&["demo", "--quant", "q4k"]));
    assert!(middle(&quantised) < 0.4 * middle(&stored), "{quantised}");
    assert_eq!(quantised["fingerprint"], stored["fingerprint"]);
    let packed = run([
        "pack",
        "--model",
        "demo",
        "--quant",
        "q4k",
        "--whole",
        "--json",
        "--out",
        text(&out.file("whole")),
    ])
    .json();
    let whole = inspect(&[text(&out.file("whole"))]);
    assert_eq!((middle(&whole), &whole["parameters"]), (middle(&quantised), &stored["parameters"]));
    let parts =
        ["input_bytes", "middle_bytes", "output_bytes"].map(|part| whole[part].as_u64().unwrap());
    assert_eq!(packed["whole_bytes"].as_u64(), Some(parts.iter().sum()));
    let shown = run(["inspect", "demo", "--quant", "q8"]);
    assert!(shown.stdout.contains("in memory as q8"), "{shown:?}");
}

#[test]
fn perplexity_compares_formats_on_the_same_tokens() {
    let folder = TempDir::new();
    let stories = folder.file("stories.jsonl");
    let response = "Once there was a hat that nobody wanted to wear. It lived on a shelf and told \
                    stories to the wind.";
    let line = serde_json::json!({ "prompt": "A lost hat.", "response": response }).to_string();
    fs::write(&stories, format!("{line}\n\n{line}\n")).unwrap();
    let json = run([
        "bench",
        "perplexity",
        "--text",
        text(&stories),
        "--window",
        "32",
        "--kv",
        "f16,q8",
        "--json",
    ])
    .json();
    let scores = json["scores"].as_array().unwrap();
    let formats: Vec<_> = scores
        .iter()
        .map(|score| (score["weights"].as_str().unwrap(), score["kv"].as_str().unwrap()))
        .collect();
    let each = |kv| [("f32", kv), ("q8", kv), ("q4k", kv)];
    assert_eq!(formats, [each("f16"), each("q8")].concat());
    let base = scores[0]["perplexity"].as_f64().unwrap();
    assert!(base > 1.0 && base < 200.0 && scores[0]["change"].is_null(), "{json}");
    for (score, most) in scores[1..].iter().zip([0.02, 0.2, 0.02, 0.02, 0.2]) {
        let change = score["perplexity"].as_f64().unwrap() / base - 1.0;
        assert!(
            change.abs() < most && (score["change"].as_f64().unwrap() - change).abs() < 1e-9,
            "{score}"
        );
        assert_eq!(score["tokens"], scores[0]["tokens"]);
    }
    assert!(
        scores[2]["bytes"].as_u64() < scores[1]["bytes"].as_u64()
            && scores[1]["bytes"].as_u64() < scores[0]["bytes"].as_u64()
    );

    let plain = folder.file("plain.txt");
    fs::write(&plain, "Once upon a time there was a hat.").unwrap();
    let shown =
        run(["bench", "perplexity", "--text", text(&plain), "--quant", "stored", "--tokens", "6"]);
    assert!(shown.code == Some(0) && shown.stdout.contains("5 tokens in 1 windows"), "{shown:?}");
}

#[test]
fn nonsense_is_refused_in_one_line() {
    let folder = TempDir::new();
    let file = |name: &str, content: &str| {
        fs::write(folder.file(name), content).unwrap();
        folder.file(name).to_str().unwrap().to_owned()
    };
    let (broken, short) =
        (file("broken.jsonl", "{\"prompt\": \"a\"}\n{\"text\": 1}\n"), file("short.txt", ""));
    let perplexity =
        |flags: &[&str]| run([&["bench", "perplexity", "--model", "demo"], flags].concat());
    assert!(perplexity(&["--text", &broken]).error(2).contains("line 2 cannot be used"));
    assert!(perplexity(&["--text", &short]).error(2).contains("no two tokens in a row"));
    assert!(perplexity(&["--text", "/nowhere"]).error(2).contains("cannot read /nowhere"));
    assert!(
        perplexity(&["--text", &broken, "--window", "4096"])
            .error(2)
            .contains("the model's context is 2048")
    );
    assert!(perplexity(&["--text", &broken, "--window", "1"]).error(2).contains("at least 2"));
    assert!(
        perplexity(&["--text", &broken, "--quant", "q3"])
            .error(2)
            .contains("q4k, q8, f16, f32 or stored")
    );
    assert!(
        run(["run", "--model", "demo", "--quant", "q5", "--local", "x"])
            .error(2)
            .contains("use q4k, q8, f16 or f32")
    );

    let whole = folder.file("whole");
    run(["pack", "--model", "demo", "--quant", "q8", "--whole", "--out", text(&whole)]);
    let again = run(["run", "--model", text(&whole), "--quant", "q4k", "--local", "x"]);
    assert!(again.error(2).contains("Q8_0 already; leave --quant out"), "{again:?}");
    let again = run(["pack", "--model", text(&whole), "--out", text(&folder.file("again"))]);
    assert!(again.error(2).contains("a packed model cannot be packed again"), "{again:?}");
    fs::write(whole.join("panels.safetensors"), "short").unwrap();
    assert!(
        run(["run", "--model", text(&whole), "--local", "x"])
            .error(1)
            .contains("panels.safetensors is truncated")
    );
}
