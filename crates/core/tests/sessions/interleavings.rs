//! Whatever the order of events, the text is the reference's.

use proptest::{collection::vec, prelude::*};
use tricorn_core::{ChunkPolicy, DraftPolicy, FinishReason, SamplingParams, SessionConfig, TurnOptions};

use crate::{model::Model, world::World};

const VOCAB: u32 = 12;

#[derive(Clone, Debug)]
struct TurnPlan {
    /// Of the conversation so far, the share that the next prompt keeps, in quarters.
    kept_quarters: usize,
    suffix: Vec<u32>,
    options: TurnOptions,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Device,
    DeliverUp,
    CloudStart,
    CloudDone,
    DeliverDown,
    DeliverLate,
    Lose,
    KillCloud,
    Evict,
    Cancel,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => Just(Event::Device),
        24 => Just(Event::DeliverUp),
        24 => Just(Event::CloudStart),
        24 => Just(Event::CloudDone),
        24 => Just(Event::DeliverDown),
        4 => Just(Event::DeliverLate),
        2 => Just(Event::Lose),
        1 => Just(Event::KillCloud),
        1 => Just(Event::Evict),
        1 => Just(Event::Cancel),
    ]
}

fn options() -> impl Strategy<Value = TurnOptions> {
    let chunk = prop_oneof![Just(ChunkPolicy::Whole), (1..24_usize).prop_map(ChunkPolicy::Fixed)];
    let draft = (0..=8_usize, prop_oneof![Just(0.0_f32), 0.1..0.4_f32]).prop_map(|(max_len, threshold)| DraftPolicy { max_len, threshold });
    (0..24_usize, vec(0..VOCAB, 0..2), draft, chunk).prop_map(|(max_new_tokens, stop_tokens, draft, chunk)| TurnOptions {
        max_new_tokens,
        stop_tokens,
        draft,
        chunk,
    })
}

fn turn() -> impl Strategy<Value = TurnPlan> {
    (0..=4_usize, prop_oneof![1 => Just(vec![]), 3 => vec(0..VOCAB, 0..20)], options(), vec(event(), 0..160))
        .prop_map(|(kept_quarters, suffix, options, events)| TurnPlan { kept_quarters, suffix, options, events })
}

fn model() -> impl Strategy<Value = Model> {
    let temperature = prop_oneof![Just(0.0_f32), Just(0.8)];
    (any::<u64>(), prop_oneof![Just(0_usize), Just(2)], temperature, 0..=8_u64).prop_map(
        |(seed, output_layers, temperature, drafter_skill)| Model {
            seed,
            vocab: VOCAB,
            output_layers,
            sampling: SamplingParams::new(temperature, seed).unwrap(),
            drafter_skill,
        },
    )
}

fn config() -> impl Strategy<Value = SessionConfig> {
    (12..72_usize, 1..16_usize, 0..24_usize).prop_map(|(context, max_append_rows, more)| SessionConfig {
        context,
        max_append_rows,
        max_queued_rows: max_append_rows + more,
        output_layers: 0,
    })
}

fn run_turn(world: &mut World, plan: TurnPlan) {
    let held = world.device.tokens();
    let mut prompt = held[..held.len() * plan.kept_quarters / 4].to_vec();
    prompt.extend(plan.suffix);
    prompt.truncate(world.config.context - 1);
    if prompt.is_empty() {
        prompt.push(1);
    }
    let expected = world.model.reference(&prompt, &plan.options, world.config.context);
    world.device.start_turn(prompt.clone(), plan.options.clone()).unwrap();
    for event in plan.events {
        match event {
            Event::Device => world.device_step(),
            Event::DeliverUp => world.deliver_up(),
            Event::CloudStart => world.cloud_start(),
            Event::CloudDone => world.cloud_done(),
            Event::DeliverDown => world.deliver_down(),
            Event::DeliverLate => world.deliver_late(),
            Event::Lose => world.lose(),
            Event::KillCloud => world.kill_cloud(),
            Event::Evict => world.evict(),
            Event::Cancel => {
                world.device.cancel();
                break;
            }
        };
    }
    // A cancelled turn is left as it is, with its appends and answers still on the link.
    let reason = world.device.finished().unwrap_or_else(|| world.finish());
    let text = world.device.generated();
    match reason {
        FinishReason::Cancelled => assert!(expected.starts_with(text), "{text:?} of {expected:?}"),
        FinishReason::Stop => {
            assert_eq!(text, expected);
            assert!(plan.options.stop_tokens.contains(&text[text.len() - 1]));
        }
        FinishReason::Length => assert_eq!(text, expected),
    }
    assert_eq!(world.device.tokens(), [prompt.as_slice(), text].concat());
    let stats = world.device.stats();
    assert_eq!(stats.generated, text.len());
    assert_eq!(stats.verified, text.len().saturating_sub(1));
    assert!(stats.accepted <= stats.drafted && stats.accepted <= stats.verified);
    assert!(stats.verified <= stats.accepted + stats.rounds && stats.rounds <= stats.verified + 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_gives_the_reference_text(model in model(), config in config(), turns in vec(turn(), 1..5)) {
        let mut world = World::new(model, SessionConfig { output_layers: model.output_layers, ..config });
        for plan in turns {
            run_turn(&mut world, plan);
        }
    }

    #[test]
    fn at_any_temperature_the_text_does_not_depend_on_the_drafts(
        model in model(),
        temperature in 0.0..2.0_f32,
        prompt in vec(0..VOCAB, 1..20),
        options in options(),
    ) {
        let sampling = SamplingParams::new(temperature, model.seed).unwrap();
        let config = SessionConfig { context: 64, max_append_rows: 32, max_queued_rows: 64, output_layers: model.output_layers };
        let mut texts = [(0, 0), (1, 0), (3, 4), (8, 8)].map(|(max_len, drafter_skill)| {
            let mut world = World::new(Model { sampling, drafter_skill, ..model }, config);
            let options = TurnOptions { draft: DraftPolicy { max_len, threshold: 0.0 }, ..options.clone() };
            world.device.start_turn(prompt.clone(), options).unwrap();
            world.finish();
            world.device.generated().to_vec()
        }).to_vec();
        texts.dedup();
        prop_assert_eq!(texts.len(), 1);
    }
}
