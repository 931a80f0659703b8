//! Interleavings of events: in any order the text is the reference's.

use std::time::Duration;

use proptest::{collection::vec, option, prelude::*};
use tricorn_core::{
    AnswerTiming, BranchAt, ChunkPolicy, CloudThroughput, Conditions, Constraint, Cost, DelayPoint,
    DraftPolicy, DraftStop, FinishReason, SamplingOptions, SamplingParams, SessionConfig,
    Streaming, TurnOptions,
};

use crate::sessions::{language::Language, model::Model, world::World};

pub(crate) const VOCAB: u32 = 12;

#[derive(Clone, Debug)]
struct TurnPlan {
    /// Of the conversation so far, the share that the next prompt keeps, in quarters.
    kept_quarters: usize,
    suffix: Vec<u32>,
    options: TurnOptions,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
enum Event {
    Device,
    DeliverUp,
    /// At most so many rows.
    CloudStart(usize),
    CloudDone,
    DeliverDown,
    DeliverLate,
    Lose,
    KillCloud,
    Evict,
    Cancel,
    /// Something else was measured.
    Measure(Conditions),
    /// So much time since the turn's start, it says, and where the last answer's append spent it;
    /// whether that was waited for.
    Time(Duration, AnswerTiming, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        40 => Just(Event::Device),
        24 => Just(Event::DeliverUp),
        24 => prop_oneof![Just(usize::MAX), 1..12_usize].prop_map(Event::CloudStart),
        24 => Just(Event::CloudDone),
        24 => Just(Event::DeliverDown),
        4 => Just(Event::DeliverLate),
        2 => Just(Event::Lose),
        1 => Just(Event::KillCloud),
        1 => Just(Event::Evict),
        1 => Just(Event::Cancel),
        6 => conditions().prop_map(Event::Measure),
        6 => time(),
    ]
}

fn time() -> impl Strategy<Value = Event> {
    (0..10_000_000_u64, 0..2_000_000_u64, 0..2_000_000_u64, any::<bool>()).prop_map(
        |(now, queue, compute, awaited)| {
            let timing =
                AnswerTiming { queue: us(queue), compute: us(compute), ..AnswerTiming::default() };
            Event::Time(us(now), timing, awaited)
        },
    )
}

fn us(count: u64) -> Duration {
    Duration::from_micros(count)
}

fn cost() -> impl Strategy<Value = Cost> {
    (0..50_000_u64, 0..5_000_u64)
        .prop_map(|(base, per_row)| Cost { base: us(base), per_row: us(per_row) })
}

fn throughput() -> impl Strategy<Value = CloudThroughput> {
    let point = (1..600_usize, 0..200_000_u64)
        .prop_map(|(rows, delay)| DelayPoint { rows, delay: us(delay) });
    let delay = vec(point, 0..6).prop_map(|mut points| {
        points.sort_by_key(|point| point.rows);
        points
    });
    (0..100_000_u64, 0..100_000_u64, 0..600_usize, 0..40_usize, option::of(0..600_usize), delay)
        .prop_map(|(prompt, verify, batch_rows, stages, prompt_rows, delay)| CloudThroughput {
            prompt_wait: us(prompt),
            verify_wait: us(verify),
            batch_rows,
            stages,
            prompt_rows,
            delay,
        })
}

/// Sensible ones and nonsense.
fn conditions() -> impl Strategy<Value = Conditions> {
    let rate = || {
        prop_oneof![
            8 => 1e3..1e10_f64,
            1 => Just(0.0),
            1 => Just(f64::NAN),
            1 => Just(f64::INFINITY),
            1 => Just(-1.0),
        ]
    };
    (
        0..10_000_usize,
        option::of(rate()),
        option::of(0..200_000_u64),
        option::of(throughput()),
        option::of(cost()),
        option::of(cost()),
        option::of(rate()),
    )
        .prop_map(|(row_bytes, uplink, rtt, throughput, shallow, draft, tokens_per_second)| {
            Conditions {
                row_bytes,
                uplink,
                rtt: rtt.map(us),
                throughput,
                shallow,
                draft,
                tokens_per_second,
            }
        })
}

fn draft_policy() -> impl Strategy<Value = DraftPolicy> {
    let threshold = || prop_oneof![Just(0.0_f32), 0.1..0.4_f32];
    let stop = prop_oneof![
        2 => threshold().prop_map(DraftStop::Threshold),
        1 => threshold().prop_map(|until_known| DraftStop::Expected { until_known }),
    ];
    let stream =
        prop_oneof![Just(Streaming::Never), Just(Streaming::Auto), Just(Streaming::Always)];
    let branch = prop_oneof![Just(BranchAt::Anywhere), Just(BranchAt::Bonus)];
    (0..=8_usize, stop, stream, 0..=9_usize, branch).prop_map(
        |(max_len, stop, stream, parallel, branch)| DraftPolicy {
            max_len,
            stop,
            stream,
            parallel,
            branch,
        },
    )
}

pub(crate) fn options() -> impl Strategy<Value = TurnOptions> {
    let chunk = prop_oneof![
        Just(ChunkPolicy::Whole),
        (1..24_usize).prop_map(ChunkPolicy::Fixed),
        Just(ChunkPolicy::Dynamic)
    ];
    (0..24_usize, vec(0..VOCAB, 0..2), draft_policy(), chunk).prop_map(
        |(max_new_tokens, stop_tokens, draft, chunk)| TurnOptions {
            max_new_tokens,
            stop_tokens,
            draft,
            chunk,
        },
    )
}

fn turn() -> impl Strategy<Value = TurnPlan> {
    (
        0..=4_usize,
        prop_oneof![1 => Just(vec![]), 3 => vec(0..VOCAB, 0..20)],
        options(),
        vec(event(), 0..160),
    )
        .prop_map(|(kept_quarters, suffix, options, events)| TurnPlan {
            kept_quarters,
            suffix,
            options,
            events,
        })
}

pub(crate) fn model() -> impl Strategy<Value = Model> {
    let temperature = prop_oneof![Just(0.0_f32), Just(0.8)];
    (
        any::<u64>(),
        prop_oneof![Just(0_usize), Just(2)],
        sampling(temperature),
        any::<bool>(),
        0..=8_u64,
    )
        .prop_map(|(seed, output_layers, sampling, constrained, drafter_skill)| Model {
            seed,
            vocab: VOCAB,
            output_layers,
            sampling,
            language: constrained.then(|| Language::new(seed, VOCAB)),
            drafter_skill,
            middle_layers: 1,
        })
}

/// Every option, off as often as on.
fn sampling(temperature: impl Strategy<Value = f32>) -> impl Strategy<Value = SamplingParams> {
    let top_p = prop_oneof![Just(1.0_f32), 0.05..1.0_f32];
    let top_k = prop_oneof![Just(0_usize), 1..VOCAB as usize];
    let min_p = prop_oneof![Just(0.0_f32), 0.0..0.5_f32];
    let penalty = || prop_oneof![Just(0.0_f32), -2.0..2.0_f32];
    let repetition = prop_oneof![Just(1.0_f32), 0.5..2.0_f32];
    let bias = vec((0..VOCAB, -5.0..5.0_f32), 0..3);
    (temperature, any::<u64>(), top_p, top_k, min_p, penalty(), penalty(), repetition, bias)
        .prop_map(
            |(
                temperature,
                seed,
                top_p,
                top_k,
                min_p,
                presence_penalty,
                frequency_penalty,
                repetition_penalty,
                logit_bias,
            )| {
                let options = SamplingOptions {
                    temperature,
                    seed,
                    top_p,
                    top_k,
                    min_p,
                    presence_penalty,
                    frequency_penalty,
                    repetition_penalty,
                    logit_bias,
                };
                SamplingParams::checked(options).unwrap()
            },
        )
}

pub(crate) fn config() -> impl Strategy<Value = SessionConfig> {
    (12..72_usize, 1..16_usize, 0..24_usize).prop_map(|(context, max_append_rows, more)| {
        SessionConfig {
            context,
            max_append_rows,
            max_queued_rows: max_append_rows + more,
            output_layers: 0,
        }
    })
}

fn run_turn(world: &mut World, plan: TurnPlan) {
    let held = world.device.session.tokens();
    let mut prompt = held[..held.len() * plan.kept_quarters / 4].to_vec();
    prompt.extend(plan.suffix);
    prompt.truncate(world.device.config.context - 1);
    if prompt.is_empty() {
        prompt.push(1);
    }
    let expected =
        world.device.model.reference(&prompt, &plan.options, world.device.config.context);
    world.device.session.start_turn(prompt.clone(), plan.options.clone()).unwrap();
    for event in plan.events {
        match event {
            Event::Device => world.device_step(),
            Event::DeliverUp => world.deliver_up(),
            Event::CloudStart(most_rows) => world.cloud_start(most_rows),
            Event::CloudDone => world.cloud_done(),
            Event::DeliverDown => world.deliver_down(),
            Event::DeliverLate => world.deliver_late(),
            Event::Lose => world.lose(),
            Event::KillCloud => world.kill_cloud(),
            Event::Evict => world.evict(),
            Event::Measure(conditions) => {
                world.device.session.set_conditions(conditions);
                true
            }
            Event::Time(now, timing, awaited) => {
                world.device.session.set_now(now);
                world.device.session.timed(&timing, awaited);
                true
            }
            Event::Cancel => {
                world.device.session.cancel();
                break;
            }
        };
    }
    // A cancelled turn is left as it is, with its appends and answers still on the link.
    let reason = world.device.session.finished().unwrap_or_else(|| world.finish());
    let text = world.device.session.generated();
    match reason {
        FinishReason::Cancelled => assert!(expected.starts_with(text), "{text:?} of {expected:?}"),
        FinishReason::Stop => {
            assert_eq!(text, expected);
            let ended = world
                .device
                .model
                .language
                .as_mut()
                .is_some_and(|language| language.is_complete(text).unwrap());
            assert!(ended || plan.options.stop_tokens.contains(&text[text.len() - 1]));
        }
        FinishReason::Length => assert_eq!(text, expected),
    }
    assert_eq!(world.device.session.tokens(), [prompt.as_slice(), text].concat());
    let stats = world.device.session.stats();
    assert_eq!(stats.generated, text.len());
    assert_eq!(stats.verified, text.len().saturating_sub(1));
    assert!(stats.accepted <= stats.drafted && stats.accepted <= stats.verified);
    assert!(stats.verified <= stats.accepted + stats.rounds && stats.rounds <= stats.verified + 1);
    assert!(
        stats.branch_hits <= stats.branch_rounds && stats.branch_rounds <= stats.branch_tokens,
        "{stats:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_interleaving_gives_the_reference_text(
        model in model(),
        config in config(),
        stages in 1..=3_usize,
        turns in vec(turn(), 1..5),
    ) {
        let output_layers = model.output_layers;
        let mut world = World::new(model, SessionConfig { output_layers, ..config });
        world.stages = stages;
        for plan in turns {
            run_turn(&mut world, plan);
        }
    }

    #[test]
    fn at_any_temperature_the_text_does_not_depend_on_the_drafts(
        model in model(),
        sampling in sampling(0.0..2.0_f32),
        prompt in vec(0..VOCAB, 1..20),
        options in options(),
    ) {
        let config = SessionConfig {
            context: 64,
            max_append_rows: 32,
            max_queued_rows: 64,
            output_layers: model.output_layers,
        };
        let mut texts = [(0, 0), (1, 0), (3, 4), (8, 8)].map(|(max_len, drafter_skill)| {
            let model = Model { sampling: sampling.clone(), drafter_skill, ..model.clone() };
            let mut world = World::new(model, config);
            let draft = DraftPolicy { max_len, ..options.draft };
            let options = TurnOptions { draft, ..options.clone() };
            world.device.session.start_turn(prompt.clone(), options).unwrap();
            world.finish();
            world.device.session.generated().to_vec()
        }).to_vec();
        texts.dedup();
        prop_assert_eq!(texts.len(), 1);
    }
}
