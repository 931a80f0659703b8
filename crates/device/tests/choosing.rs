//! The text does not depend on what is drafted, by whom, in how many continuations: with every
//! sampling option, and with a schema.

use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, OnceLock},
};
use tricorn_core::{
    ChunkPolicy, Constraint, ConstraintFailed, DraftPolicy, FinishReason, HiddenCodec,
    SamplingOptions, SamplingParams, Streaming, TokenMask,
};
use tricorn_device::{
    Conversation, DeviceError, DeviceParts, Drafting, Event, LocalTransport, Prompter, Transport,
    TransportError, Turn, TurnReport,
    constraint::{Grammar, Grammars},
    transport::{Answer, TransportWrapper},
};
use tricorn_model::{DrafterKind, MiddlePart, ModelSource};

const TOKENS: usize = 20;

/// The demo model, and its middle.
struct Demo {
    source: Arc<ModelSource>,
    prompter: Prompter,
    middle: Arc<MiddlePart>,
}

fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
        let source = Arc::new(ModelSource::open(&path).unwrap());
        let prompter = Prompter::load(&source).unwrap();
        let middle = Arc::new(MiddlePart::load(&source, "2:0".parse().unwrap()).unwrap());
        Demo { source, prompter, middle }
    })
}

fn parts(drafting: Drafting) -> DeviceParts {
    DeviceParts::load(&demo().source, "2:0".parse().unwrap(), HiddenCodec::F16, drafting).unwrap()
}

/// A link that holds back each answer until nothing else can be done, so that every continuation is
/// drafted.
struct Patient(LocalTransport);

impl Patient {
    fn new(parts: &DeviceParts) -> Self {
        Self(LocalTransport::new(Arc::clone(&demo().middle), parts.context, parts.codec))
    }
}

impl TransportWrapper for Patient {
    type Inner = LocalTransport;

    fn inner(&self) -> &LocalTransport {
        &self.0
    }

    fn inner_mut(&mut self) -> &mut LocalTransport {
        &mut self.0
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        Ok(None)
    }
}

fn turn(sampling: SamplingOptions, draft: DraftPolicy, grammar: Option<&Grammar>) -> Turn {
    Turn {
        tokens: demo()
            .prompter
            .raw("Once upon a time there was a little girl named Lily. She")
            .unwrap(),
        max_new_tokens: TOKENS,
        sampling: SamplingParams::checked(sampling).unwrap(),
        constraint: grammar.map(Grammar::constraint),
        logprobs: None,
        draft,
        chunk: ChunkPolicy::Whole,
    }
}

fn ask<L: Transport>(conversation: &mut Conversation<'_, L>, turn: Turn) -> TurnReport {
    conversation.turn(turn, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// Each option alone, and all together.
fn options() -> Vec<SamplingOptions> {
    let sampled = SamplingOptions { temperature: 0.9, seed: 5, ..SamplingOptions::default() };
    let all = SamplingOptions {
        temperature: 1.2,
        seed: 11,
        top_p: 0.95,
        top_k: 60,
        min_p: 0.01,
        presence_penalty: 0.5,
        frequency_penalty: -0.3,
        repetition_penalty: 1.15,
        logit_bias: vec![(40, 2.0), (300, -100.0)],
    };
    vec![
        SamplingOptions::default(),
        SamplingOptions {
            presence_penalty: 1.0,
            frequency_penalty: 1.0,
            ..SamplingOptions::default()
        },
        SamplingOptions { repetition_penalty: 1.3, ..SamplingOptions::default() },
        SamplingOptions { logit_bias: vec![(300, 4.0)], ..sampled.clone() },
        SamplingOptions { top_p: 0.8, ..sampled.clone() },
        SamplingOptions { top_k: 5, ..sampled.clone() },
        SamplingOptions { min_p: 0.1, ..sampled },
        all,
    ]
}

fn schema() -> Grammar {
    let parts = parts(Drafting::Off);
    let schema = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "maxLength": 12 },
            "age": { "type": "integer", "minimum": 0, "maximum": 999 },
            "happy": { "type": "boolean" },
        },
        "required": ["name", "age", "happy"],
        "additionalProperties": false
    });
    Grammars::new(&demo().prompter, &parts.stop_tokens).unwrap().json_schema(&schema).unwrap()
}

/// Draft lengths 0 to 8 and continuations 0 to 4, each at least once.
fn policies() -> impl Iterator<Item = DraftPolicy> {
    let streams = [Streaming::Never, Streaming::Always];
    (0..=8).map(move |len| DraftPolicy {
        parallel: len % 5,
        stream: streams[len % 2],
        ..DraftPolicy::up_to(len, 0.1)
    })
}

#[test]
fn text_is_the_same_for_every_drafter_draft_length_and_number_of_continuations() {
    let grammar = schema();
    let plain = parts(Drafting::Off);
    let mut reference = Conversation::open(&plain, Patient::new(&plain)).unwrap();
    let [mut accepted, mut branched] = [0, 0];
    for kind in DrafterKind::ALL {
        let parts = parts(Drafting::Kind(kind));
        let mut conversation = Conversation::open(&parts, Patient::new(&parts)).unwrap();
        for (index, options) in options().into_iter().enumerate() {
            for grammar in [None, Some(&grammar)] {
                let expected =
                    ask(&mut reference, turn(options.clone(), DraftPolicy::OFF, grammar));
                // All lengths with the first and the last of the options, some with the others.
                let every = if index == 0 || index == 7 { 1 } else { 4 };
                for draft in policies().skip(index % every).step_by(every) {
                    let report = ask(&mut conversation, turn(options.clone(), draft, grammar));
                    assert_eq!(
                        report.token_ids, expected.token_ids,
                        "{kind} {draft:?} {options:?} {grammar:?}"
                    );
                    assert_eq!(report.finish, expected.finish);
                    accepted += report.stats.accepted;
                    branched += report.stats.branch_hits;
                }
            }
        }
    }
    assert!(accepted > 500 && branched > 20, "{accepted} {branched}");
}

#[test]
fn text_of_a_schema_is_of_the_schema_and_ends_by_itself() {
    let grammar = schema();
    let parts = parts(Drafting::Best);
    let mut conversation = Conversation::open(&parts, Patient::new(&parts)).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for seed in 0..6 {
        let options = SamplingOptions {
            temperature: if seed == 0 { 0.0 } else { 1.0 },
            seed,
            ..SamplingOptions::default()
        };
        let draft = DraftPolicy { parallel: 4, ..DraftPolicy::default() };
        let turn = Turn { max_new_tokens: 300, ..turn(options, draft, Some(&grammar)) };
        let tokens = turn.tokens.clone();
        let report = ask(&mut conversation, turn);
        let mut reply = demo().prompter.reply(&tokens, &parts.stop_tokens).unwrap();
        report.token_ids.iter().for_each(|&token| drop(reply.push(token).unwrap()));
        let text = reply.finish().unwrap().1;
        assert_eq!(report.finish, FinishReason::Stop, "{text}");
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(
            value["age"].as_u64().unwrap() < 1000
                && value["happy"].is_boolean()
                && value["name"].as_str().unwrap().chars().count() <= 12,
            "{text}"
        );
        assert!(report.stats.accepted > 0, "what is forced is drafted");
        names.insert(value["name"].to_string());
    }
    assert!(names.len() > 3, "{names:?}");
}

#[test]
fn logprobs_come_with_every_token_and_change_nothing() {
    let parts = parts(Drafting::Best);
    let mut conversation = Conversation::open(&parts, Patient::new(&parts)).unwrap();
    for options in options() {
        let draft = DraftPolicy::up_to(4, 0.1);
        let plain = ask(&mut conversation, turn(options.clone(), draft, None));
        let mut seen = Vec::new();
        let turn = Turn { logprobs: Some(5), ..turn(options, draft, None) };
        let report = conversation.turn(turn, &mut |event| {
            if let Event::Token { id, logprobs, .. } = event {
                seen.push((id, logprobs.unwrap()));
            }
            ControlFlow::Continue(())
        });
        assert_eq!(report.unwrap().token_ids, plain.token_ids);
        assert_eq!(seen.len(), TOKENS);
        for (id, logprobs) in seen {
            assert!(logprobs.chosen <= 0.0 && logprobs.top.len() == 5);
            assert!(logprobs.top.is_sorted_by(|a, b| a.logprob >= b.logprob));
            assert!(
                logprobs.top.iter().map(|token| token.logprob.exp()).sum::<f32>() <= 1.0 + 1e-5
            );
            let own = logprobs.top.iter().find(|token| token.id == id);
            assert!(own.is_none_or(|token| token.logprob == logprobs.chosen));
        }
    }
}

/// Allows everything for a while.
#[derive(Clone, Debug)]
struct Fails(TokenMask);

impl Constraint for Fails {
    fn allowed(&mut self, path: &[u32]) -> Result<&TokenMask, ConstraintFailed> {
        if path.len() < 5 {
            Ok(&self.0)
        } else {
            Err(ConstraintFailed { problem: "on purpose".to_owned() })
        }
    }

    fn is_complete(&mut self, _: &[u32]) -> Result<bool, ConstraintFailed> {
        Ok(false)
    }

    fn boxed_clone(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

#[test]
fn a_constraint_that_fails_ends_its_turn_and_no_other() {
    let parts = parts(Drafting::Best);
    let mut conversation = Conversation::open(&parts, Patient::new(&parts)).unwrap();
    let fine = turn(SamplingOptions::default(), DraftPolicy::default(), None);
    let expected = ask(&mut conversation, fine.clone()).token_ids;
    let fails = Turn {
        constraint: Some(Box::new(Fails(TokenMask::from_words(vec![u32::MAX; 100])))),
        ..fine.clone()
    };
    assert!(matches!(
        conversation.turn(fails, &mut |_| ControlFlow::Continue(())),
        Err(DeviceError::Constraint(_))
    ));
    assert_eq!(ask(&mut conversation, fine).token_ids, expected);
}

#[test]
fn a_bias_for_a_token_that_is_not_there_is_refused() {
    let parts = parts(Drafting::Off);
    let mut conversation = Conversation::open(&parts, Patient::new(&parts)).unwrap();
    let options =
        SamplingOptions { logit_bias: vec![(u32::MAX, 1.0)], ..SamplingOptions::default() };
    let refused = conversation
        .turn(turn(options, DraftPolicy::OFF, None), &mut |_| ControlFlow::Continue(()));
    assert!(matches!(refused, Err(DeviceError::Sampling(error)) if error.field() == "logit_bias"));
}
