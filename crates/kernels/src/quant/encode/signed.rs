//! Q6_K: runs of 16 numbers with an 8-bit scale each, itself a multiple of one scale for 256
//! numbers.

use super::{nearest, sum};
use half::f16;

/// Half the number of codes.
const HALF: f32 = 32.0;
/// Below this a run counts as zero.
const NOTHING: f32 = 1e-15;

pub(super) fn q6k(values: &[f32; 256], out: &mut [u8; 210]) {
    let runs: [&[f32; 16]; 16] = std::array::from_fn(|run| &values.as_chunks().0[run]);
    let fits = runs.map(fit);
    let most = fits
        .iter()
        .fold(0.0, |most: f32, (_, scale)| if scale.abs() > most.abs() { *scale } else { most });
    out.fill(0);
    if most.abs() < NOTHING {
        // All codes zero stand for -32 scales, and the scales are zero.
        return;
    }
    let inverse = -128.0 / most;
    let d = f16::from_f32(1.0 / inverse);
    out[208..].copy_from_slice(&d.to_le_bytes());
    let mut codes = [0_u8; 256];
    for (j, ((fitted, scale), x)) in fits.iter().zip(runs).enumerate() {
        let stored = nearest(inverse * scale).min(127.0);
        out[192 + j] = stored as i8 as u8;
        let scale = d.to_f32() * stored;
        for (i, code) in codes[j * 16..][..16].iter_mut().enumerate() {
            let exact = if scale == 0.0 { fitted[i] } else { x[i] / scale };
            *code = (nearest(exact.clamp(-HALF, HALF - 1.0)) + HALF) as u8;
        }
    }
    for i in 0..64 {
        let (half, l) = (i / 32, i % 32);
        let run = |run: usize| codes[half * 128 + run * 32 + l];
        out[half * 64 + l] = run(0) & 15 | (run(2) & 15) << 4;
        out[half * 64 + 32 + l] = run(1) & 15 | (run(3) & 15) << 4;
        out[128 + i] = (0..4).map(|r| run(r) >> 4 << (2 * r)).sum();
    }
}

/// `make_qx_quants`: the codes, -32 to 31, and the scale with the least squared error, each value
/// weighing its square.
fn fit(x: &[f32; 16]) -> ([f32; 16], f32) {
    let extreme = x.iter().fold(0.0, |most: f32, &x| if x.abs() > most.abs() { x } else { most });
    if extreme.abs() < NOTHING {
        return ([0.0; 16], 0.0);
    }
    let mut best = ([0.0; 16], 0.0);
    let mut most = f32::NEG_INFINITY;
    // The plain range first: of equal fits it is the one taken.
    for step in std::iter::once(0).chain((-9_i8..=9).filter(|&step| step != 0)) {
        let inverse = -(HALF + 0.1 * f32::from(step)) / extreme;
        let codes = x.map(|x| nearest((inverse * x).clamp(-HALF, HALF - 1.0)));
        let sum_xc = sum::<16>(|i| x[i] * x[i] * x[i] * codes[i]);
        let sum_cc = sum::<16>(|i| x[i] * x[i] * codes[i] * codes[i]);
        if sum_cc > 0.0 && sum_xc * sum_xc > most * sum_cc {
            let scale = sum_xc / sum_cc;
            (best, most) = ((codes, scale), scale * sum_xc);
        }
    }
    best
}
