//! Codecs: hidden rows to bytes and back.

mod coded;
mod prefix;

use bytes::{BufMut, Bytes, BytesMut};
use half::{f16, slice::HalfFloatSliceExt};
use tricorn_core::{HiddenCodec, to_f16};

use crate::WireError;

/// Values converted at a time, through a buffer that stays in the first-level cache.
const BLOCK: usize = 256;

/// Encodes `rows` x `hidden` values, row-major. What [`decode`] gives back equals the values after
/// [`HiddenCodec::round`].
///
/// # Errors
/// [`WireError::Length`] when the number of values is wrong, [`WireError::NotFinite`] for what the
/// codec cannot make finite: NaN, and in f32 infinity. Both name `field`.
pub fn encode(
    field: &'static str,
    codec: HiddenCodec,
    rows: usize,
    hidden: usize,
    values: &[f32],
) -> Result<Bytes, WireError> {
    expect_length(
        field,
        codec,
        rows,
        hidden,
        values.len().saturating_mul(codec.bytes_per_value()),
    )?;
    match codec {
        HiddenCodec::F16z | HiddenCodec::F16 => {
            expect_each(field, hidden, values, |value| !value.is_nan())?
        }
        HiddenCodec::F32 => expect_each(field, hidden, values, f32::is_finite)?,
    }
    if codec == HiddenCodec::F16z {
        let mut halves = vec![f16::ZERO; values.len()];
        to_f16(values, &mut halves);
        return Ok(coded::encode(&halves).into());
    }
    let mut bytes = BytesMut::with_capacity(values.len() * codec.bytes_per_value());
    if codec == HiddenCodec::F32 {
        values.iter().for_each(|&value| bytes.put_f32_le(value));
        return Ok(bytes.freeze());
    }
    let mut halves = [f16::ZERO; BLOCK];
    for block in values.chunks(BLOCK) {
        let halves = &mut halves[..block.len()];
        to_f16(block, halves);
        halves.iter().for_each(|half| bytes.put_u16_le(half.to_bits()));
    }
    Ok(bytes.freeze())
}

/// Decodes what [`encode`] wrote: `rows` x `hidden` values, row-major.
///
/// # Errors
/// [`WireError::Length`] when the number of bytes is wrong, [`WireError::Corrupt`] when coded
/// values do not decode, [`WireError::NotFinite`] for NaN or infinity; all name `field`.
pub fn decode(
    field: &'static str,
    codec: HiddenCodec,
    rows: usize,
    hidden: usize,
    bytes: &[u8],
) -> Result<Vec<f32>, WireError> {
    if codec == HiddenCodec::F16z {
        let halves = coded::decode(rows.saturating_mul(hidden), bytes)
            .map_err(|reason| WireError::Corrupt { field, reason })?;
        let values = halves.to_f32_vec();
        expect_each(field, hidden, &values, f32::is_finite)?;
        return Ok(values);
    }
    expect_length(field, codec, rows, hidden, bytes.len())?;
    let mut values = vec![0.0_f32; bytes.len() / codec.bytes_per_value()];
    match codec {
        HiddenCodec::F16z | HiddenCodec::F16 => {
            let mut halves = [f16::ZERO; BLOCK];
            for (to, from) in values.chunks_mut(BLOCK).zip(bytes.chunks(2 * BLOCK)) {
                let halves = &mut halves[..to.len()];
                let (pairs, _) = from.as_chunks::<2>();
                halves
                    .iter_mut()
                    .zip(pairs)
                    .for_each(|(half, pair)| *half = f16::from_le_bytes(*pair));
                halves.convert_to_f32_slice(to);
            }
        }
        HiddenCodec::F32 => {
            let (quads, _) = bytes.as_chunks::<4>();
            values.iter_mut().zip(quads).for_each(|(to, from)| *to = f32::from_le_bytes(*from));
        }
    }
    expect_each(field, hidden, &values, f32::is_finite)?;
    Ok(values)
}

/// The product may overflow on numbers from outside; it then differs from any number of bytes there
/// can be.
fn expect_length(
    field: &'static str,
    codec: HiddenCodec,
    rows: usize,
    hidden: usize,
    found: usize,
) -> Result<(), WireError> {
    let expected = rows.saturating_mul(hidden).saturating_mul(codec.bytes_per_value());
    if expected == found { Ok(()) } else { Err(WireError::Length { field, expected, found }) }
}

fn expect_each(
    field: &'static str,
    hidden: usize,
    values: &[f32],
    good: impl Fn(f32) -> bool,
) -> Result<(), WireError> {
    // Without an early exit the check runs at the speed of memory; the place is looked up only when
    // there is something to report.
    if values.iter().fold(true, |all, &value| all & good(value)) {
        return Ok(());
    }
    let at = values.iter().position(|&value| !good(value)).unwrap_or_default();
    Err(WireError::NotFinite { field, row: at / hidden.max(1), column: at % hidden.max(1) })
}
