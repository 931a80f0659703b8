//! At a temperature above 0 the split system draws from the model's own distribution, whatever is
//! drafted.

use std::{collections::BTreeMap, ops::ControlFlow};

use crate::support::{Cloud, Device, fair_drafter, fixture, greedy};
use tricorn_core::{DraftPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{Conversation, Transport, Turn};
use tricorn_model::{InputPart, KvPool, OutputPart, SeqRows};

const SPLIT: &str = "2:1";
const TEMPERATURE: f32 = 0.8;
const SEEDS: u64 = 4000;
/// Cells with a smaller expectation share one: the statistic's distribution is only near chi-square
/// above it.
const LEAST_EXPECTED: f64 = 5.0;

/// The first two tokens of a text.
type Pair = (u32, u32);

/// The model's exact distribution of the token after `tokens`, from all its layers at once.
fn distribution(device: &Device, tokens: &[u32], temperature: f64) -> Vec<f64> {
    let (parts, pool) = (&device.parts, KvPool::new(usize::MAX));
    let (input, output) = (
        InputPart::load(&device.source, parts.split).unwrap(),
        OutputPart::load(&device.source, parts.split).unwrap(),
    );
    let mut x = input.forward_at(&mut input.new_kv(&pool, parts.context), 0, tokens).unwrap();
    parts.codec.round(&mut x);
    let mut kv = device.middle.new_kv(&pool, parts.context);
    device
        .middle
        .forward(&mut [SeqRows { kv: &mut kv, pos: 0, rows: tokens.len() }], &mut x)
        .unwrap();
    parts.codec.round(&mut x);
    output.forward_at(&mut output.new_kv(&pool, parts.context), 0, &mut x).unwrap();
    let logits = output.logits(&x[(tokens.len() - 1) * parts.hidden..]).unwrap();
    let greatest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> =
        logits.iter().map(|&logit| (f64::from(logit - greatest) / temperature).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// The exact distribution of pairs, as far as they can have a cell of their own.
fn pairs(device: &Device, tokens: &[u32]) -> BTreeMap<Pair, f64> {
    let mut cells = BTreeMap::new();
    let least = LEAST_EXPECTED / SEEDS as f64;
    let first = distribution(device, tokens, f64::from(TEMPERATURE));
    for (first, p) in (0..).zip(first).filter(|&(_, p)| p >= least) {
        let second = distribution(device, &[tokens, &[first]].concat(), f64::from(TEMPERATURE));
        cells.extend(
            (0..)
                .zip(second)
                .map(|(second, q)| ((first, second), p * q))
                .filter(|&(_, p)| p >= least),
        );
    }
    cells
}

/// Pearson's statistic of what was drawn against the cells and the rest, and the degrees of
/// freedom.
fn chi_square(drawn: &[Pair], cells: &BTreeMap<Pair, f64>) -> (f64, f64) {
    let term = |count: usize, p: f64| {
        let expected = p * drawn.len() as f64;
        (count as f64 - expected).powi(2) / expected
    };
    let mut counts = BTreeMap::new();
    drawn.iter().for_each(|pair| *counts.entry(*pair).or_insert(0_usize) += 1);
    let counted = |pair: &Pair| counts.get(pair).copied().unwrap_or(0);
    let inside: usize = cells.keys().map(counted).sum();
    let rest = 1.0 - cells.values().sum::<f64>();
    assert!(
        rest * drawn.len() as f64 >= LEAST_EXPECTED,
        "the rest is too small for a cell: {rest}"
    );
    let sum: f64 = cells.iter().map(|(pair, &p)| term(counted(pair), p)).sum();
    (sum + term(drawn.len() - inside, rest), cells.len() as f64)
}

/// The value that a chi-square variable exceeds with a probability of one in a million (Wilson and
/// Hilferty 1931).
fn one_in_a_million(degrees: f64) -> f64 {
    let (z, share) = (4.7534, 2.0 / (9.0 * degrees));
    degrees * (1.0 - share + z * share.sqrt()).powi(3)
}

fn turn(tokens: &[u32], temperature: f32, seed: u64, draft: DraftPolicy) -> Turn {
    // Two more than are looked at, so that there is room to draft the second.
    Turn {
        sampling: SamplingParams::new(temperature, seed).unwrap(),
        draft,
        ..greedy(tokens.to_vec(), 4)
    }
}

/// One text a seed, and the drafts that were proposed and accepted.
fn draw<L: Transport>(
    conversation: &mut Conversation<'_, L>,
    tokens: &[u32],
    temperature: f32,
    draft: DraftPolicy,
) -> (Vec<Vec<u32>>, [usize; 2]) {
    let mut drafts = [0; 2];
    let texts = (0..SEEDS).map(|seed| {
        let report = conversation
            .turn(turn(tokens, temperature, seed, draft), &mut |_| ControlFlow::Continue(()))
            .unwrap();
        drafts[0] += report.stats.drafted;
        drafts[1] += report.stats.accepted;
        report.token_ids
    });
    (texts.collect(), drafts)
}

fn first_two(texts: &[Vec<u32>]) -> Vec<Pair> {
    // A stop token may end a text after one.
    texts.iter().map(|text| (text[0], text.get(1).copied().unwrap_or(u32::MAX))).collect()
}

#[test]
fn drafts_do_not_change_the_distribution() {
    let model = fair_drafter(&fixture("llama"), SPLIT);
    let device = Device::load(model.path(), SPLIT, HiddenCodec::F16);
    let cloud = Cloud::start(model.path(), SPLIT);
    let tokens = device.prompt("Once upon the cloud");

    let (local, _) = draw(&mut device.local(), &tokens, TEMPERATURE, DraftPolicy::OFF);
    let (split, [drafted, accepted]) =
        draw(&mut device.remote(&cloud.url()), &tokens, TEMPERATURE, DraftPolicy::up_to(3, 0.0));
    assert!(split == local, "a seed gave different texts");
    assert!(
        accepted * 4 > drafted && accepted < drafted,
        "{accepted} of {drafted} drafts accepted"
    );

    let cells = pairs(&device, &tokens);
    assert!(cells.len() >= 10, "too few cells to see anything: {cells:?}");
    let (statistic, degrees) = chi_square(&first_two(&split), &cells);
    let limit = one_in_a_million(degrees);
    assert!(statistic < limit, "{statistic} of at most {limit} with {degrees} degrees of freedom");

    // The test would see a temperature that is a little off.
    let (warmer, _) = draw(&mut device.local(), &tokens, 1.1, DraftPolicy::OFF);
    let (statistic, degrees) = chi_square(&first_two(&warmer), &cells);
    assert!(
        statistic > limit,
        "blind: {statistic} is below {limit} with {degrees} degrees of freedom"
    );
}

#[test]
fn chi_square_of_known_counts() {
    let cells = BTreeMap::from([((0, 0), 0.5), ((0, 1), 0.25)]);
    let drawn = [vec![(0, 0); 60], vec![(0, 1); 20], vec![(9, 9); 20]].concat();
    let (statistic, degrees) = chi_square(&drawn, &cells);
    assert!(
        (statistic - (2.0 + 1.0 + 1.0)).abs() < 1e-9 && degrees == 2.0,
        "{statistic} {degrees}"
    );
    // The exact value, from the Poisson sum that is the tail for an even number of degrees.
    assert!((one_in_a_million(40.0) - 97.65).abs() < 1.0, "{}", one_in_a_million(40.0));
}
