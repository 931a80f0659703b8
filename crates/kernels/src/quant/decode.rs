//! Stored blocks back to single precision, after `ggml-quants.c`.

use super::Dtype;
use half::{bf16, f16};

/// Appends the numbers of `bytes` to `out`; bytes after the last whole block are ignored.
pub fn decode(dtype: Dtype, bytes: &[u8], out: &mut Vec<f32>) {
    out.reserve(bytes.len() / dtype.block_bytes() * dtype.block_len());
    match dtype {
        Dtype::F32 => out.extend(bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b))),
        Dtype::F16 => {
            out.extend(bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()))
        }
        Dtype::Bf16 => {
            out.extend(bytes.as_chunks().0.iter().map(|&b| bf16::from_le_bytes(b).to_f32()))
        }
        Dtype::Q4_0 => bytes.as_chunks().0.iter().for_each(|block| q4_0(block, out)),
        Dtype::Q8_0 => bytes.as_chunks().0.iter().for_each(|block| q8_0(block, out)),
        Dtype::Q4K => bytes.as_chunks().0.iter().for_each(|block| q4k(block, out)),
        Dtype::Q5K => bytes.as_chunks().0.iter().for_each(|block| q5k(block, out)),
        Dtype::Q6K => bytes.as_chunks().0.iter().for_each(|block| q6k(block, out)),
    }
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn q4_0(block: &[u8; 18], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    let codes = &block[2..];
    out.extend(codes.iter().map(|code| (f32::from(code & 15) - 8.0) * scale));
    out.extend(codes.iter().map(|code| (f32::from(code >> 4) - 8.0) * scale));
}

fn q8_0(block: &[u8; 34], out: &mut Vec<f32>) {
    let scale = half_at(block, 0);
    out.extend(block[2..].iter().map(|&code| f32::from(code as i8) * scale));
}

/// Scale and minimum of the `j`-th 32 numbers from the 12 bytes that hold eight of each in 6 bits.
pub(crate) fn k_scale(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            (packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4,
            (packed[j + 4] >> 4) | (packed[j] >> 6) << 4,
        )
    }
}

fn q4k(block: &[u8; 144], out: &mut Vec<f32>) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, codes) = (&block[4..16], &block[16..]);
    for j in 0..8 {
        let (scale, min) = k_scale(scales, j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = 4 * (j % 2);
        out.extend(
            codes[j / 2 * 32..][..32]
                .iter()
                .map(|code| scale * f32::from(code >> shift & 15) - min),
        );
    }
}

fn q5k(block: &[u8; 176], out: &mut Vec<f32>) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, high, low) = (&block[4..16], &block[16..48], &block[48..]);
    for j in 0..8 {
        let (scale, min) = k_scale(scales, j);
        let (scale, min) = (d * f32::from(scale), dmin * f32::from(min));
        let shift = 4 * (j % 2);
        let codes = low[j / 2 * 32..][..32]
            .iter()
            .zip(high)
            .map(|(low, high)| (low >> shift & 15) | (high >> j & 1) << 4);
        out.extend(codes.map(|code| scale * f32::from(code) - min));
    }
}

fn q6k(block: &[u8; 210], out: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let d = half_at(block, 208);
    for i in 0..256 {
        // Halves of 128 numbers; in each, four runs of 32 share the high bits' bytes and two by two
        // the low bits'.
        let (half, run, l) = (i / 128, i / 32 % 4, i % 32);
        let low = low[half * 64 + run % 2 * 32 + l] >> (4 * (run / 2)) & 15;
        let high = high[half * 32 + l] >> (2 * run) & 3;
        let scale = d * f32::from(scales[i / 16] as i8);
        out.push(scale * (f32::from(low | high << 4) - 32.0));
    }
}
