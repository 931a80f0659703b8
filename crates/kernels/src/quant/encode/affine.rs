//! Q4_K and Q5_K: runs of 32 numbers with a scale and a minimum each, both as 6-bit multiples of
//! two scales for 256 numbers.

use super::{nearest, sum};
use crate::quant::k_scale;
use half::f16;

/// Codes, each a whole number, with what they are to be multiplied by and what is then to be taken
/// away.
struct Run {
    codes: [f32; 32],
    scale: f32,
    min: f32,
}

/// How a format searches: `steps + 1` ranges from `highest + first` codes on, a tenth of a code
/// apart.
struct Search {
    highest: f32,
    first: f32,
    steps: u8,
}

pub(super) fn q4k(values: &[f32; 256], out: &mut [u8; 144]) {
    let codes = block(values, &Search { highest: 15.0, first: -1.0, steps: 20 }, out);
    for (i, out) in out[16..].iter_mut().enumerate() {
        let at = i / 32 * 64 + i % 32;
        *out = codes[at] | codes[at + 32] << 4;
    }
}

pub(super) fn q5k(values: &[f32; 256], out: &mut [u8; 176]) {
    let codes = block(values, &Search { highest: 31.0, first: -0.5, steps: 15 }, out);
    for (i, out) in out[16..48].iter_mut().enumerate() {
        *out = (0..8).map(|run| codes[run * 32 + i] >> 4 << run).sum();
    }
    for (i, out) in out[48..].iter_mut().enumerate() {
        let at = i / 32 * 64 + i % 32;
        *out = codes[at] & 15 | (codes[at + 32] & 15) << 4;
    }
}

/// Writes the first 16 bytes of a block, the scales, and returns the codes.
fn block(values: &[f32; 256], search: &Search, out: &mut [u8]) -> [u8; 256] {
    let runs = std::array::from_fn::<Run, 8, _>(|run| {
        let mut x = [0.0; 32];
        x.copy_from_slice(&values[run * 32..][..32]);
        fit(&x, search)
    });
    let largest = |of: fn(&Run) -> f32| runs.iter().map(of).fold(0.0, f32::max);
    let (max_scale, max_min) = (largest(|run| run.scale), largest(|run| run.min));
    out[..2].copy_from_slice(&f16::from_f32(max_scale / 63.0).to_le_bytes());
    out[2..4].copy_from_slice(&f16::from_f32(max_min / 63.0).to_le_bytes());
    let sixths = |value: f32, max: f32| {
        if max > 0.0 { nearest(63.0 / max * value).min(63.0) as u8 } else { 0 }
    };
    out[4..16].fill(0);
    for (j, run) in runs.iter().enumerate() {
        let (scale, min) = (sixths(run.scale, max_scale), sixths(run.min, max_min));
        if j < 4 {
            out[4 + j] |= scale;
            out[8 + j] |= min;
        } else {
            out[8 + j] = scale & 15 | (min & 15) << 4;
            out[j] |= scale >> 4 << 6;
            out[4 + j] |= min >> 4 << 6;
        }
    }
    // The codes again, for the scales as they are stored.
    let (d, dmin) = (
        f16::from_le_bytes([out[0], out[1]]).to_f32(),
        f16::from_le_bytes([out[2], out[3]]).to_f32(),
    );
    let mut codes = [0; 256];
    for (j, run) in runs.iter().enumerate() {
        let (scale, min) = k_scale(&out[4..16], j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        for (i, code) in codes[j * 32..][..32].iter_mut().enumerate() {
            let exact =
                if scale == 0.0 { run.codes[i] } else { (values[j * 32 + i] + min) / scale };
            *code = nearest(exact.clamp(0.0, search.highest)) as u8;
        }
    }
    codes
}

/// `make_qkx2_quants`: the codes, scale and minimum with the least squared error, large values
/// weighing more. Each of a number of ranges gives codes, and the codes a scale and a minimum by
/// least squares.
fn fit(x: &[f32; 32], search: &Search) -> Run {
    let mean_square = sum::<32>(|i| x[i] * x[i]) / 32.0;
    let weights = x.map(|x| mean_square.sqrt() + x.abs());
    let (low, high) = (
        x.iter().copied().fold(0.0, f32::min),
        x.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    );
    if high <= low {
        return Run { codes: [0.0; 32], scale: 0.0, min: -low };
    }
    let codes_for =
        |inverse: f32| x.map(|x| nearest((inverse * (x - low)).clamp(0.0, search.highest)));
    let error = |codes: &[f32; 32], scale: f32, min: f32| {
        sum::<32>(|i| {
            let off = scale * codes[i] + min - x[i];
            weights[i] * (off * off)
        })
    };
    let (sum_w, sum_x) = (sum::<32>(|i| weights[i]), sum::<32>(|i| weights[i] * x[i]));
    let inverse = search.highest / (high - low);
    let mut best = Run { codes: codes_for(inverse), scale: 1.0 / inverse, min: low };
    let mut least = error(&best.codes, best.scale, best.min);
    for step in 0..=search.steps {
        let codes =
            codes_for((search.first + 0.1 * f32::from(step) + search.highest) / (high - low));
        let sum_c = sum::<32>(|i| weights[i] * codes[i]);
        let sum_cc = sum::<32>(|i| weights[i] * codes[i] * codes[i]);
        let sum_xc = sum::<32>(|i| weights[i] * codes[i] * x[i]);
        let determinant = sum_w * sum_cc - sum_c * sum_c;
        if determinant <= 0.0 {
            continue;
        }
        let (mut scale, mut min) = (
            (sum_w * sum_xc - sum_x * sum_c) / determinant,
            (sum_cc * sum_x - sum_c * sum_xc) / determinant,
        );
        if min > 0.0 {
            (scale, min) = (sum_xc / sum_cc, 0.0);
        }
        let error = error(&codes, scale, min);
        if error < least {
            (best, least) = (Run { codes, scale, min }, error);
        }
    }
    Run { min: -best.min, ..best }
}
