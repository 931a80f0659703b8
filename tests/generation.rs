//! The text is the model's, whatever way it takes: here or through a cloud, with drafts or without,
//! in chunks or whole.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Condvar, Mutex},
    thread,
};

use crate::support::{
    Cloud, Device, FAMILIES, LIMIT, TempDir, ask, demo, fair_drafter, fixture, greedy, on_token,
    poor_drafter, run, stories_prompts,
};
use serde_json::Value;
use tricorn_core::{ChunkPolicy, DraftPolicy, FinishReason, HiddenCodec, SamplingParams};
use tricorn_device::{Turn, TurnReport};

const SPLITS: [&str; 2] = ["1:0", "2:1"];
const CHUNKS: [ChunkPolicy; 4] =
    [ChunkPolicy::Fixed(1), ChunkPolicy::Fixed(7), ChunkPolicy::Fixed(64), ChunkPolicy::Whole];
/// One of fewer tokens than the smallest chunk but one, and one that fills several of the largest.
const PROMPTS: [&str; 2] = [
    "Hat!",
    "The hat told the cloud a story: crabs 🦀 in a café drew the three corners of the wall. \
     Nobody listened, and so it told it again.",
];

fn sampled(temperature: f32, seed: u64) -> SamplingParams {
    SamplingParams::new(temperature, seed).unwrap()
}

fn drafts(max_len: usize) -> DraftPolicy {
    DraftPolicy::up_to(max_len, 0.0)
}

/// Drafts proposed and accepted over many turns.
#[derive(Debug, Default)]
struct Sums {
    drafted: usize,
    accepted: usize,
}

impl Sums {
    /// Checks a turn against the reference, and its figures for sense.
    #[track_caller]
    fn check(&mut self, turn: &Turn, reference: &TurnReport, report: &TurnReport) {
        let what = format!("{:?} {:?} {:?}", turn.draft, turn.chunk, turn.sampling);
        assert_eq!(report.token_ids, reference.token_ids, "{what}");
        assert_eq!(report.finish, reference.finish, "{what}");
        let (stats, tokens) = (&report.stats, report.token_ids.len());
        assert_eq!((stats.generated, stats.lost_connections), (tokens, 0), "{what}");
        assert!(
            stats.accepted <= stats.drafted && stats.drafted <= turn.draft.max_len * stats.rounds,
            "{what} {stats:?}"
        );
        // The prompt's answer gives one token, each round its accepted drafts and the target's own;
        // the last may end in a draft.
        assert_eq!(stats.verified + 1, tokens, "{what} {stats:?}");
        assert!(
            (0..=1).contains(&(stats.accepted + stats.rounds - stats.verified)),
            "{what} {stats:?}"
        );
        self.drafted += stats.drafted;
        self.accepted += stats.accepted;
    }
}

/// Every draft length with the prompt whole, every chunk size with and without drafts, and a round
/// that doubt ends.
fn modes(turn: &Turn) -> Vec<Turn> {
    let with = |draft, chunk| Turn { draft, chunk, ..turn.clone() };
    let lengths = (1..=8).map(|length| with(drafts(length), ChunkPolicy::Whole));
    let chunks = CHUNKS
        .into_iter()
        .flat_map(|chunk| [with(DraftPolicy::OFF, chunk), with(drafts(4), chunk)]);
    lengths.chain(chunks).chain([with(DraftPolicy::up_to(8, 0.6), ChunkPolicy::Fixed(7))]).collect()
}

/// Runs every mode on a model with a drafter, here and through a cloud, and gives the sums of the
/// drafts.
fn all_modes(model: &Path, cut: &str) -> Sums {
    let cloud = Cloud::start(model, cut);
    let mut sums = Sums::default();
    for codec in HiddenCodec::ALL {
        let device = Device::load(model, cut, codec);
        for prompt in PROMPTS {
            for sampling in [SamplingParams::greedy(), sampled(0.8, 3)] {
                let turn = Turn { sampling, ..greedy(device.prompt(prompt), 24) };
                let reference = device.reference(&turn);
                for turn in modes(&turn) {
                    let local = ask(&mut device.local(), turn.clone());
                    let remote = ask(&mut device.remote(&cloud.url()), turn.clone());
                    sums.check(&turn, &reference, &local);
                    sums.check(&turn, &reference, &remote);
                    // What is drafted and accepted has nothing to do with where the middle is.
                    assert_eq!(local.stats, remote.stats);
                    let rows =
                        remote.stats.uploaded_rows * device.parts.hidden * codec.bytes_per_value();
                    // An exponent's code saves four of a value's bits at most.
                    let least = if codec == HiddenCodec::F16z { rows * 3 / 4 } else { rows };
                    assert!(
                        remote.bytes_up > least as u64,
                        "{} bytes for {rows} of rows",
                        remote.bytes_up
                    );
                }
            }
        }
    }
    sums
}

fn family_in_all_modes(name: &str) {
    for cut in SPLITS {
        let fair = all_modes(fair_drafter(&fixture(name), cut).path(), cut);
        assert!(
            fair.accepted * 4 > fair.drafted && fair.accepted < fair.drafted,
            "{name} {cut}: no mixture of right and wrong in {fair:?}"
        );
        let poor = all_modes(poor_drafter(&fixture(name), cut).path(), cut);
        assert!(poor.drafted > 0 && poor.accepted * 4 < poor.drafted, "{name} {cut}: {poor:?}");
    }
}

#[test]
fn llama_in_all_modes() {
    family_in_all_modes("llama");
}

#[test]
fn llama_with_scaled_rope_in_all_modes() {
    family_in_all_modes("llama-rope3");
}

#[test]
fn mistral_in_all_modes() {
    family_in_all_modes("mistral");
}

#[test]
fn qwen2_in_all_modes() {
    family_in_all_modes("qwen2");
}

#[test]
fn qwen3_in_all_modes() {
    family_in_all_modes("qwen3");
}

/// Token ids and text of a run through the binary.
fn cli(model: &Path, more: &[&str]) -> (Value, Value) {
    let mut arguments: Vec<&str> = vec!["run", "--json", "--model", model.to_str().unwrap()];
    arguments.extend(more);
    let json = run(arguments).json();
    (json["token_ids"].clone(), json["text"].clone())
}

#[test]
fn the_binary_agrees_with_itself_and_with_the_library() {
    for name in FAMILIES {
        for cut in SPLITS {
            let model = fair_drafter(&fixture(name), cut);
            let cloud = Cloud::start(model.path(), cut);
            let url = cloud.url();
            let device = Device::load(model.path(), cut, HiddenCodec::F16);
            let tokens = device.prompt(PROMPTS[1]);
            let reference = device.reference(&greedy(tokens.clone(), 24));
            let expected = (
                Value::from(reference.token_ids.clone()),
                Value::from(device.text(&tokens, &reference.token_ids)),
            );
            let common = ["--split", cut, "--max-tokens", "24", PROMPTS[1]];
            for mode in [
                &["--local"][..],
                &["--cloud", &url],
                &["--cloud", &url, "--no-draft"],
                &["--cloud", &url, "--chunk", "7", "--max-draft", "3"],
            ] {
                assert_eq!(
                    cli(model.path(), &[mode, &common].concat()),
                    expected,
                    "{name} {cut} {mode:?}"
                );
            }
        }
    }
}

#[test]
fn greedy_text_is_that_of_transformers() {
    for name in FAMILIES {
        let model = fixture(name);
        let device = Device::load(&model, "2:1", HiddenCodec::F32);
        let cloud = Cloud::start_with(&model, "2:1", 0, &["--kv", "f32"]);
        let expected: Value =
            serde_json::from_slice(&fs::read(model.join("expected.json")).unwrap()).unwrap();
        let mut compared = 0;
        for sequence in expected["sequences"].as_array().unwrap() {
            let text = sequence["text"].as_str().unwrap();
            // Texts that were cut in mid-word may have other tokens.
            if Value::from(device.prompter.raw(text).unwrap()) != sequence["ids"] {
                continue;
            }
            compared += 1;
            let exact = ["--codec", "f32", "--kv", "f32"];
            let common = ["--split", "2:1", "--raw", "--max-tokens", "48", text];
            for mode in [&["--local"][..], &["--cloud", &cloud.url()]] {
                let (ids, _) = cli(&model, &[mode, &exact, &common].concat());
                assert_eq!(ids, sequence["greedy"], "{name} {mode:?} {text:?}");
            }
        }
        assert!(compared > 0, "{name}: nothing compared");
    }
}

#[test]
fn a_schema_holds_the_answer_in_every_mode() {
    let folder = TempDir::new();
    let schema = folder.path().join("schema.json");
    let text = r#"{
        "type": "object",
        "properties": {
            "kind": {"enum": ["cat", "dog"]},
            "age": {"type": "integer", "minimum": 3, "maximum": 9}
        },
        "required": ["kind", "age"],
        "additionalProperties": false
    }"#;
    fs::write(&schema, text).unwrap();
    let cloud = Cloud::start(&demo(), "2:0");
    let common =
        ["--json-schema", schema.to_str().unwrap(), "--max-tokens", "200", "Once upon a time"];
    let modes = [
        &["--local"][..],
        &["--local", "--no-draft"],
        &["--cloud", &cloud.url()],
        &["--cloud", &cloud.url(), "--temperature", "0.5", "--seed", "3"],
    ];
    let answers = modes.map(|mode| cli(&demo(), &[mode, &common].concat()));
    for (mode, (_, text)) in modes.iter().zip(&answers) {
        let answer: Value = serde_json::from_str(text.as_str().unwrap())
            .unwrap_or_else(|error| panic!("{mode:?}: {error}: {text}"));
        assert!(
            ["cat", "dog"].contains(&answer["kind"].as_str().unwrap())
                && (3..=9).contains(&answer["age"].as_u64().unwrap()),
            "{text}"
        );
        assert_eq!(answer.as_object().unwrap().len(), 2, "{text}");
    }
    assert_eq!([&answers[0], &answers[0]], [&answers[1], &answers[2]]);
}

/// The demo model with a drafter that hands on the shallow row, which its head sometimes reads
/// right.
fn demo_with_a_drafter() -> TempDir {
    crate::support::copy_dir(&demo())
}

fn stories(codec: HiddenCodec, chosen: impl Fn(&Turn) -> bool) {
    let model = demo_with_a_drafter();
    let cloud = Cloud::start(model.path(), "2:0");
    let device = Device::load(model.path(), "2:0", codec);
    let mut sums = Sums::default();
    for prompt in stories_prompts() {
        let turn = greedy(device.prompt(&prompt), 64);
        let reference = device.reference(&turn);
        for turn in modes(&turn).into_iter().filter(&chosen) {
            let report = ask(&mut device.remote(&cloud.url()), turn.clone());
            sums.check(&turn, &reference, &report);
        }
    }
    assert!(sums.accepted > 0 && sums.accepted < sums.drafted, "{sums:?}");
}

#[test]
fn stories_in_all_modes() {
    // Chunks without drafts are left to the families.
    stories(HiddenCodec::F16, |turn| {
        turn.draft != DraftPolicy::OFF || turn.chunk == ChunkPolicy::Whole
    });
}

#[test]
fn stories_as_f32() {
    stories(HiddenCodec::F32, |turn| {
        turn.chunk == ChunkPolicy::Fixed(7) || turn.draft == drafts(8)
    });
}

#[test]
fn a_seed_is_a_text() {
    let model = demo_with_a_drafter();
    let cloud = Cloud::start(model.path(), "2:0");
    let device = Device::load(model.path(), "2:0", HiddenCodec::F16);
    let tokens = device.prompt("A lost letter.");
    let mut texts = BTreeSet::new();
    for seed in 0..8 {
        let turn = Turn { sampling: sampled(0.8, seed), ..greedy(tokens.clone(), 32) };
        let reference = device.reference(&turn);
        for turn in [
            turn.clone(),
            Turn { draft: drafts(1), ..turn.clone() },
            Turn { draft: drafts(8), chunk: ChunkPolicy::Fixed(7), ..turn },
        ] {
            Sums::default().check(
                &turn,
                &reference,
                &ask(&mut device.remote(&cloud.url()), turn.clone()),
            );
        }
        texts.insert(device.text(&tokens, &reference.token_ids));
    }
    assert_eq!(texts.len(), 8, "{texts:?}");
}

#[test]
fn the_context_may_fill_up() {
    let model = fair_drafter(&fixture("qwen3"), "2:1");
    let cloud = Cloud::start(model.path(), "2:1");
    let device = Device::load(model.path(), "2:1", HiddenCodec::F16);
    let context = device.parts.context;
    let prompt = device.prompt(PROMPTS[1]).into_iter().cycle().take(context - 6).collect();
    let turn = greedy(prompt, 1000);
    let reference = device.reference(&turn);
    assert_eq!((reference.finish, reference.token_ids.len()), (FinishReason::Length, 6));
    for draft in [DraftPolicy::OFF, drafts(5), drafts(8)] {
        let turn = Turn { draft, ..turn.clone() };
        assert_eq!(ask(&mut device.remote(&cloud.url()), turn).token_ids, reference.token_ids);
    }
}

/// Lets nobody pass before all have come.
struct Rendezvous {
    missing: Mutex<usize>,
    all_here: Condvar,
}

impl Rendezvous {
    fn meet(&self) {
        let mut missing = self.missing.lock().unwrap();
        *missing -= 1;
        self.all_here.notify_all();
        while *missing > 0 {
            let (guard, wait) = self.all_here.wait_timeout(missing, LIMIT).unwrap();
            missing = guard;
            assert!(!wait.timed_out(), "{missing} never came");
        }
    }
}

#[test]
fn sixteen_sessions_at_once_write_what_each_writes_alone() {
    let model = demo_with_a_drafter();
    let cloud = Cloud::start(model.path(), "2:0");
    let device = Device::load(model.path(), "2:0", HiddenCodec::F16);
    let prompts = stories_prompts();
    let turns: Vec<Turn> = (0..16)
        .map(|index| Turn {
            sampling: if index < 8 { SamplingParams::greedy() } else { sampled(0.8, index) },
            draft: if index % 3 == 0 { DraftPolicy::OFF } else { drafts(index as usize % 8 + 1) },
            chunk: CHUNKS[index as usize % 4],
            ..greedy(device.prompt(&prompts[index as usize % 8]), 40)
        })
        .collect();
    let alone: Vec<TurnReport> = turns.iter().map(|turn| device.reference(turn)).collect();
    let url = cloud.url();
    // All are in mid-text before any goes on.
    let rendezvous = Rendezvous { missing: Mutex::new(turns.len()), all_here: Condvar::new() };
    thread::scope(|scope| {
        for (turn, alone) in turns.iter().zip(&alone) {
            scope.spawn(|| {
                let mut conversation = device.remote(&url);
                let report = conversation
                    .turn(turn.clone(), &mut on_token(2, || rendezvous.meet()))
                    .unwrap();
                Sums::default().check(turn, alone, &report);
            });
        }
    });
}
