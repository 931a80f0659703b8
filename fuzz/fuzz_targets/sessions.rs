//! Device and cloud sessions against each other over a simulated network, in an order of events
//! that the bytes choose. The text is always the reference's. It is the property test of
//! `crates/core/tests/sessions`, led by coverage.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/core/tests/sessions"]
mod sessions {
    pub(crate) mod device;
    pub(crate) mod language;
    pub(crate) mod model;
    pub(crate) mod world;
}

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use sessions::{language::Language, model::Model, world::World};
use std::time::Duration;
use tricorn_core::{
    AnswerTiming, BranchAt, ChunkPolicy, Conditions, Cost, DraftPolicy, DraftStop, FinishReason,
    SamplingOptions, SamplingParams, SessionConfig, Streaming, TurnOptions,
};

const VOCAB: u32 = 12;

fuzz_target!(|bytes: &[u8]| {
    // An input that is too short for a choice ends where it is.
    let _ = run(&mut Unstructured::new(bytes));
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let mut world = world(input)?;
    for _ in 0..4 {
        if input.is_empty() {
            break;
        }
        turn(&mut world, input)?;
    }
    Ok(())
}

fn world(input: &mut Unstructured<'_>) -> Result<World> {
    let seed = input.arbitrary()?;
    let sampling = SamplingOptions {
        temperature: *input.choose(&[0.0, 0.8, 1.5])?,
        seed: input.arbitrary()?,
        top_p: *input.choose(&[1.0, 0.9, 0.3])?,
        top_k: *input.choose(&[0, 3])?,
        min_p: *input.choose(&[0.0, 0.2])?,
        presence_penalty: *input.choose(&[0.0, -1.0, 1.0])?,
        frequency_penalty: *input.choose(&[0.0, 0.5])?,
        repetition_penalty: *input.choose(&[1.0, 1.5])?,
        logit_bias: Vec::new(),
    };
    let model = Model {
        seed,
        vocab: VOCAB,
        middle_layers: 1,
        output_layers: *input.choose(&[0, 2])?,
        sampling: SamplingParams::checked(sampling).expect("options in range"),
        language: input.arbitrary::<bool>()?.then(|| Language::new(seed, VOCAB)),
        drafter_skill: input.int_in_range(0..=8)?,
    };
    let max_append_rows = input.int_in_range(1..=15)?;
    let config = SessionConfig {
        context: input.int_in_range(12..=71)?,
        max_append_rows,
        max_queued_rows: max_append_rows + input.int_in_range(0..=23)?,
        output_layers: model.output_layers,
    };
    let mut world = World::new(model, config);
    world.stages = input.int_in_range(1..=3)?;
    Ok(world)
}

fn options(input: &mut Unstructured<'_>) -> Result<TurnOptions> {
    let known = *input.choose(&[0.0, 0.1, 0.3])?;
    let stops = [DraftStop::Threshold(known), DraftStop::Expected { until_known: known }];
    let chunks = [ChunkPolicy::Whole, ChunkPolicy::Dynamic, ChunkPolicy::Fixed(3)];
    Ok(TurnOptions {
        max_new_tokens: input.int_in_range(0..=23)?,
        stop_tokens: if input.arbitrary()? {
            vec![input.int_in_range(0..=VOCAB - 1)?]
        } else {
            vec![]
        },
        draft: DraftPolicy {
            max_len: input.int_in_range(0..=8)?,
            stop: *input.choose(&stops)?,
            stream: *input.choose(&[Streaming::Never, Streaming::Auto, Streaming::Always])?,
            parallel: input.int_in_range(0..=9)?,
            branch: *input.choose(&[BranchAt::Anywhere, BranchAt::Bonus])?,
        },
        chunk: *input.choose(&chunks)?,
    })
}

/// One turn: as many events as the bytes hold before one ends it, then the rest without mishaps.
fn turn(world: &mut World, input: &mut Unstructured<'_>) -> Result<()> {
    let held = world.device.session.tokens();
    let mut prompt = held[..held.len() * input.int_in_range(0..=4)? / 4].to_vec();
    for _ in 0..input.int_in_range(0..=19)? {
        prompt.push(input.int_in_range(0..=VOCAB - 1)?);
    }
    prompt.truncate(world.device.config.context - 1);
    if prompt.is_empty() {
        prompt.push(1);
    }
    let options = options(input)?;
    let expected = world.device.model.reference(&prompt, &options, world.device.config.context);
    world.device.session.start_turn(prompt.clone(), options).expect("a prompt that fits");
    while event(world, input)? {}
    let reason = world.device.session.finished().unwrap_or_else(|| world.finish());
    let text = world.device.session.generated();
    match reason {
        FinishReason::Cancelled => assert!(expected.starts_with(text), "{text:?} of {expected:?}"),
        FinishReason::Stop | FinishReason::Length => assert_eq!(text, expected),
    }
    assert_eq!(world.device.session.tokens(), [prompt.as_slice(), text].concat());
    Ok(())
}

/// The next event; false where it leaves the turn to its end.
fn event(world: &mut World, input: &mut Unstructured<'_>) -> Result<bool> {
    if input.is_empty() {
        return Ok(false);
    }
    match input.int_in_range(0..=19_u8)? {
        0..=4 => world.device_step(),
        5..=6 => world.deliver_up(),
        7 => world.cloud_start(usize::MAX),
        8 => world.cloud_start(input.int_in_range(1..=11)?),
        9..=10 => world.cloud_done(),
        11..=12 => world.deliver_down(),
        13 => world.deliver_late(),
        14 => world.lose(),
        15 => input.arbitrary()? && world.kill_cloud(),
        16 => world.evict(),
        17 => {
            world.device.session.set_conditions(conditions(input)?);
            true
        }
        18 => {
            world.device.session.set_now(micros(input)?);
            let (queue, compute) = (micros(input)?, micros(input)?);
            let timing = AnswerTiming { queue, compute, ..AnswerTiming::default() };
            world.device.session.timed(&timing, input.arbitrary()?);
            true
        }
        _ => {
            if input.ratio(1, 4)? {
                world.device.session.cancel();
            }
            return Ok(false);
        }
    };
    Ok(true)
}

/// Conditions of any sense or none: they may change no text.
fn conditions(input: &mut Unstructured<'_>) -> Result<Conditions> {
    let cost =
        |input: &mut Unstructured<'_>| Ok(Cost { base: micros(input)?, per_row: micros(input)? });
    Ok(Conditions {
        row_bytes: usize::from(input.arbitrary::<u16>()?),
        uplink: input.arbitrary()?,
        rtt: if input.arbitrary()? { Some(micros(input)?) } else { None },
        throughput: None,
        shallow: if input.arbitrary()? { Some(cost(input)?) } else { None },
        draft: if input.arbitrary()? { Some(cost(input)?) } else { None },
        tokens_per_second: input.arbitrary()?,
    })
}

fn micros(input: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(Duration::from_micros(input.int_in_range(0..=10_000_000)?))
}
