//! Stored matrices to panels.

use super::{
    BLOCK, CHUNK, CODES, PANEL, PackedPart, PanelBytes, panel_bytes, storage::Owned, unit_bytes,
};
use crate::{
    quant::{Dtype, RawTensor, k_scale},
    threads::{self, Disjoint},
};

/// Packs row-major matrices of one format, stacked in order along the outputs; rows are whole
/// blocks of `inputs` numbers.
pub(crate) fn pack(parts: &[RawTensor<'_>], dtype: Dtype, inputs: usize) -> PackedPart {
    let rows: Vec<RawTensor<'_>> = parts
        .iter()
        .flat_map(|part| (0..part.len() / inputs).map(|row| part.slice(row * inputs, inputs)))
        .collect();
    let size = panel_bytes(dtype, inputs).unwrap_or_default();
    let mut owned = Owned::lasting(rows.len().div_ceil(PANEL) * size);
    let panels = Disjoint::new(owned.bytes_mut());
    threads::run(rows.len().div_ceil(PANEL), |index| {
        // SAFETY: every call has a panel of its own.
        #[allow(unsafe_code)]
        let panel = unsafe { panels.part(index * size..(index + 1) * size) };
        let rows = &rows[index * PANEL..rows.len().min((index + 1) * PANEL)];
        match dtype {
            Dtype::F32 => numbers::<4>(rows, panel, |column| column * 4),
            Dtype::F16 => numbers::<2>(rows, panel, |column| column * 2),
            Dtype::Bf16 => numbers::<2>(rows, panel, |column| {
                column % (PANEL / 2) * 4 + column / (PANEL / 2) * 2
            }),
            Dtype::Q4_0 | Dtype::Q8_0 | Dtype::Q4K | Dtype::Q5K | Dtype::Q6K => {
                quantised(dtype, rows, panel)
            }
        }
    });
    PackedPart { dtype, outputs: rows.len(), bytes: PanelBytes::Owned(owned) }
}

/// Packs one row-major `outputs x inputs` matrix in single precision.
pub(crate) fn pack_rows(values: &[f32], inputs: usize) -> PackedPart {
    let outputs = values.len() / inputs;
    let mut owned = Owned::heap(outputs.div_ceil(PANEL) * inputs * 4 * PANEL);
    for (rows, panel) in
        values.chunks(PANEL * inputs).zip(owned.bytes_mut().chunks_exact_mut(inputs * 4 * PANEL))
    {
        for (column, row) in rows.chunks_exact(inputs).enumerate() {
            for (value, line) in row.iter().zip(panel.chunks_exact_mut(4 * PANEL)) {
                line[4 * column..4 * column + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
    }
    PackedPart { dtype: Dtype::F32, outputs, bytes: PanelBytes::Owned(owned) }
}

/// Packs one row-major `inputs x outputs` matrix in single precision.
pub(crate) fn pack_columns(values: &[f32], outputs: usize) -> PackedPart {
    let inputs = values.len() / outputs;
    let mut owned = Owned::heap(outputs.div_ceil(PANEL) * inputs * 4 * PANEL);
    for (index, panel) in owned.bytes_mut().chunks_exact_mut(inputs * 4 * PANEL).enumerate() {
        for (row, line) in values.chunks_exact(outputs).zip(panel.chunks_exact_mut(4 * PANEL)) {
            for (value, out) in
                row[index * PANEL..].iter().take(PANEL).zip(line.as_chunks_mut::<4>().0)
            {
                *out = value.to_le_bytes();
            }
        }
    }
    PackedPart { dtype: Dtype::F32, outputs, bytes: PanelBytes::Owned(owned) }
}

/// Packs numbers of `N` bytes; `place` is where a column's number lies among those of one input.
fn numbers<const N: usize>(
    rows: &[RawTensor<'_>],
    panel: &mut [u8],
    place: impl Fn(usize) -> usize,
) {
    for (column, row) in rows.iter().enumerate() {
        let place = place(column);
        for (number, out) in
            row.bytes.as_chunks::<N>().0.iter().zip(panel.chunks_exact_mut(N * PANEL))
        {
            out[place..place + N].copy_from_slice(number);
        }
    }
}

fn quantised(dtype: Dtype, rows: &[RawTensor<'_>], panel: &mut [u8]) {
    let blocks = dtype.block_len() / BLOCK;
    let mut unpacked = [0_u8; CHUNK * CODES];
    let mut codes = [0_u8; CHUNK * BLOCK];
    for (index, unit) in panel.chunks_exact_mut(unit_bytes(dtype)).enumerate() {
        for (column, row) in rows.iter().enumerate() {
            let block = &row.bytes[index * dtype.block_bytes()..][..dtype.block_bytes()];
            let codes = &mut codes[..blocks * BLOCK];
            match dtype {
                Dtype::Q4_0 => q4_0(block, column, codes, unit),
                Dtype::Q5K => q5k(block, column, codes, unit),
                Dtype::Q6K => q6k(block, column, codes, unit),
                Dtype::Q4K => q4k(block, column, codes, unit),
                _ => q8_0(block, column, codes, unit),
            }
            for (four, out) in
                codes.as_chunks::<4>().0.iter().zip(unpacked.chunks_exact_mut(4 * PANEL))
            {
                out[4 * column..4 * column + 4].copy_from_slice(four);
            }
        }
        let (_, planes) = unit.split_at_mut(header(dtype));
        if dtype == Dtype::Q8_0 {
            planes.copy_from_slice(&unpacked[..CODES]);
            continue;
        }
        let (low, upper) = planes.split_at_mut(blocks * CODES / 2);
        let unpacked = unpacked.as_chunks::<CODES>().0;
        for (codes, low) in unpacked.iter().zip(low.chunks_exact_mut(CODES / 2)) {
            plane(codes, low, 0, 4);
        }
        let (bits, size) = if dtype == Dtype::Q5K { (1, CODES / 8) } else { (2, CODES / 4) };
        for (codes, upper) in unpacked.iter().zip(upper.chunks_exact_mut(size)) {
            plane(codes, upper, 4, bits);
        }
    }
}

/// Bytes before the codes of one unit.
const fn header(dtype: Dtype) -> usize {
    match dtype {
        Dtype::Q4K | Dtype::Q5K => 4 * PANEL + 2 * CHUNK * PANEL,
        Dtype::Q6K => 2 * PANEL + 2 * CHUNK * PANEL,
        _ => 2 * PANEL,
    }
}

/// Gathers `bits` bits from bit `from` of every code: code `i` goes to byte `i % plane.len()`, the
/// first run of codes into the lowest bits.
fn plane(codes: &[u8; CODES], plane: &mut [u8], from: u32, bits: u32) {
    plane.fill(0);
    let mask = (1 << bits) - 1;
    for (run, codes) in codes.chunks_exact(plane.len()).enumerate() {
        let shift = bits * run as u32;
        for (byte, code) in plane.iter_mut().zip(codes) {
            *byte |= (code >> from & mask) << shift;
        }
    }
}

fn scale(unit: &mut [u8], column: usize, half: &[u8]) {
    unit[2 * column..2 * column + 2].copy_from_slice(half);
}

fn q8_0(block: &[u8], column: usize, codes: &mut [u8], unit: &mut [u8]) {
    scale(unit, column, &block[..2]);
    for (out, code) in codes.iter_mut().zip(&block[2..]) {
        *out = code ^ 0x80;
    }
}

fn q4_0(block: &[u8], column: usize, codes: &mut [u8], unit: &mut [u8]) {
    scale(unit, column, &block[..2]);
    for (i, code) in block[2..].iter().enumerate() {
        codes[i] = code & 15;
        codes[i + 16] = code >> 4;
    }
}

/// The scales of Q4_K and Q5_K, whose six bits become bytes.
fn k_scales(block: &[u8], column: usize, unit: &mut [u8]) {
    let (halves, bytes) = unit.split_at_mut(4 * PANEL);
    scale(halves, column, &block[..2]);
    scale(&mut halves[2 * PANEL..], column, &block[2..4]);
    for j in 0..CHUNK {
        let (scale, minimum) = k_scale(&block[4..16], j);
        bytes[j * PANEL + column] = scale;
        bytes[(CHUNK + j) * PANEL + column] = minimum;
    }
}

fn q4k(block: &[u8], column: usize, codes: &mut [u8], unit: &mut [u8]) {
    k_scales(block, column, unit);
    for (low, codes) in block[16..].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
        for (i, code) in low.iter().enumerate() {
            codes[i] = code & 15;
            codes[i + 32] = code >> 4;
        }
    }
}

fn q5k(block: &[u8], column: usize, codes: &mut [u8], unit: &mut [u8]) {
    k_scales(block, column, unit);
    let (high, low) = block[16..].split_at(32);
    for (pair, (low, codes)) in low.chunks_exact(32).zip(codes.chunks_exact_mut(64)).enumerate() {
        for (i, (code, high)) in low.iter().zip(high).enumerate() {
            codes[i] = code & 15 | (high >> (2 * pair) & 1) << 4;
            codes[i + 32] = code >> 4 | (high >> (2 * pair + 1) & 1) << 4;
        }
    }
}

fn q6k(block: &[u8], column: usize, codes: &mut [u8], unit: &mut [u8]) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, d) = rest.split_at(16);
    scale(unit, column, d);
    for (j, &scale) in scales.iter().enumerate() {
        unit[2 * PANEL + j * PANEL + column] = scale;
    }
    // Halves of 128 numbers; in each, four runs of 32 share the high bits' bytes and two by two the
    // low bits'.
    for ((low, high), codes) in
        low.chunks_exact(64).zip(high.chunks_exact(32)).zip(codes.chunks_exact_mut(128))
    {
        for (run, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (i, code) in codes.iter_mut().enumerate() {
                *code =
                    low[run % 2 * 32 + i] >> (4 * (run / 2)) & 15 | (high[i] >> (2 * run) & 3) << 4;
            }
        }
    }
}
