//! Panels: the layout of packed weights in memory.
//!
//! A matrix is cut in panels of [`PANEL`] outputs (the last one padded with zeros). A panel is one
//! contiguous run of bytes, inputs in order, so that a product with few rows reads memory in one
//! stream. The layout is the same on every processor; all numbers are little-endian.
//!
//! Formats that are not quantised: `[input][32]` numbers. Bf16 holds columns `c` and `c + 16` side
//! by side, so that a shift and a mask widen a pair.
//!
//! Quantised formats: blocks of [`BLOCK`] inputs; a block has 1,024 codes, `[input /
//! 4][output][input % 4]`, which is what an instruction that adds four products of bytes wants.
//! Codes are unsigned: ggml's signed ones are stored with an offset.
//! - low bits: byte `i` of 512 holds code `i` in its lower and code `i + 512` in its upper half;
//! - a fifth bit (Q5_K): code `i` in bit `i / 128` of byte `i % 128`;
//! - the upper two bits (Q6_K): code `i` in bits `2 (i / 256)` and the next of byte `i % 256`.
//!
//! | format | unit | what it holds, in order |
//! |---|---|---|
//! | Q8_0 | block | f16: 32 scales; 1,024 codes, offset 128 |
//! | Q4_0 | block | f16: 32 scales; 512 bytes of codes, offset 8 |
//! | Q4_K | 8 blocks | f16: 32 scales, 32 of minimums; u8: `[block][32]` scales, minimums; codes |
//! | Q5_K | 8 blocks | as Q4_K; fifth bits |
//! | Q6_K | 8 blocks | f16: 32 scales; i8: `[half block][32]` scales; low, upper bits, offset 32 |

mod pack;
mod storage;
mod unpack;

use crate::quant::Dtype;

pub(super) use pack::{pack, pack_columns, pack_rows};
pub use storage::PanelBytes;
#[cfg(target_arch = "x86_64")]
pub(super) use unpack::K_HEADER;
pub(super) use unpack::{Q4_0, Q4K, Q5K, Q6K, Q8_0, Unpack, Unpacked};

/// Outputs in a panel.
pub(crate) const PANEL: usize = 32;
/// Inputs whose products are summed in integers.
pub(super) const BLOCK: usize = 32;
/// Blocks that are unpacked at once: those that share a scale in the K formats.
pub(super) const CHUNK: usize = 8;
/// Codes in a block of a panel.
pub(super) const CODES: usize = PANEL * BLOCK;

/// Some outputs of a dense layer, packed in one format.
#[derive(Debug)]
pub struct PackedPart {
    /// Format of the numbers.
    pub dtype: Dtype,
    /// Outputs, without padding.
    pub outputs: usize,
    /// The panels.
    pub bytes: PanelBytes,
}

impl PackedPart {
    /// How many panels there are.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }
}

/// Bytes of `outputs` packed rows of `inputs` numbers; `None` where a row is not a whole number of
/// the format's blocks, and on overflow.
pub fn packed_bytes(dtype: Dtype, inputs: usize, outputs: usize) -> Option<usize> {
    panel_bytes(dtype, inputs)?.checked_mul(outputs.div_ceil(PANEL))
}

/// Bytes of one panel, as [`packed_bytes`].
pub(super) fn panel_bytes(dtype: Dtype, inputs: usize) -> Option<usize> {
    if inputs.is_multiple_of(dtype.block_len()) {
        (inputs / dtype.block_len()).checked_mul(unit_bytes(dtype))
    } else {
        None
    }
}

/// Bytes that a panel takes for as many inputs as a block of the format has.
pub(super) const fn unit_bytes(dtype: Dtype) -> usize {
    const HALF: usize = 2 * PANEL;
    match dtype {
        Dtype::F32 => 4 * PANEL,
        Dtype::F16 | Dtype::Bf16 => HALF,
        Dtype::Q4_0 => HALF + CODES / 2,
        Dtype::Q8_0 => HALF + CODES,
        Dtype::Q4K => 2 * HALF + CHUNK * (2 * PANEL + CODES / 2),
        Dtype::Q5K => 2 * HALF + CHUNK * (2 * PANEL + CODES / 2 + CODES / 8),
        Dtype::Q6K => HALF + CHUNK * (2 * PANEL + CODES / 2 + CODES / 4),
    }
}
