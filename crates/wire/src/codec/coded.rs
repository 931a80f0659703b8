//! Binary16 values with their exponents in a prefix code, as `CODEC_F16Z` of the contract says.
//!
//! Values of one kind have few exponents: hidden rows need about 2.6 of the five bits. Sign and
//! mantissa are as good as random, and stay.

use half::f16;

use super::prefix::{LONGEST, PrefixCode, SYMBOLS};

/// First byte of values as they are.
const PLAIN: u8 = 0;
/// First byte of coded ones.
const CODED: u8 = 1;
/// Bits beside an exponent's code: two of the mantissa, and the sign.
const BESIDE: u32 = 3;
/// Values whose bits fit a word beside what is left of the bytes before.
const AT_A_TIME: usize = 5;

/// The values' bytes: coded where that takes fewer. None for no values.
pub(super) fn encode(values: &[f16]) -> Vec<u8> {
    let Some(coded) = encode_coded(values).filter(|bytes| bytes.len() <= 2 * values.len()) else {
        let plain = values.iter().flat_map(|value| value.to_le_bytes());
        return (!values.is_empty()).then_some(PLAIN).into_iter().chain(plain).collect();
    };
    coded
}

fn encode_coded(values: &[f16]) -> Option<Vec<u8>> {
    let mut counts = [0_u32; SYMBOLS];
    values.iter().for_each(|value| counts[exponent(*value)] += 1);
    let first = counts.iter().position(|&count| count > 0)?;
    let last = counts.iter().rposition(|&count| count > 0)?;
    let code = PrefixCode::of(&counts);
    let lengths = &code.lengths()[first..=last];
    let mut bytes = vec![CODED, first as u8, lengths.len() as u8];
    bytes.extend(lengths.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |high| high << 4)));
    bytes.extend(values.iter().map(|value| value.to_bits() as u8));
    let codes = code.codes();
    let (mut word, mut held) = (0_u64, 0);
    for some in values.chunks(AT_A_TIME) {
        for value in some {
            let (code, bits) = (codes[exponent(*value)], value.to_bits());
            let beside = u64::from(bits >> 8 & 3 | bits >> 15 << 2);
            word |= (code.bits | beside << code.length) << held;
            held += code.length + BESIDE;
        }
        bytes.extend_from_slice(&word.to_le_bytes()[..(held / 8) as usize]);
        word >>= held / 8 * 8;
        held %= 8;
    }
    bytes.extend((held > 0).then_some(word as u8));
    Some(bytes)
}

fn exponent(value: f16) -> usize {
    usize::from(value.to_bits() >> 10 & 31)
}

/// Decodes what [`encode`] wrote of `count` values. What it allocates is bounded by the bytes.
///
/// # Errors
/// The rule of the code that the bytes break.
pub(super) fn decode(count: usize, bytes: &[u8]) -> Result<Vec<f16>, &'static str> {
    match bytes.split_first() {
        None if count == 0 => Ok(Vec::new()),
        None => Err("no bytes"),
        Some((&PLAIN, plain)) => {
            let (pairs, rest) = plain.as_chunks::<2>();
            if pairs.len() != count || !rest.is_empty() {
                return Err("plain values of another number");
            }
            Ok(pairs.iter().map(|pair| f16::from_le_bytes(*pair)).collect())
        }
        Some((&CODED, coded)) => decode_coded(count, coded),
        Some(_) => Err("unknown first byte"),
    }
}

fn decode_coded(count: usize, bytes: &[u8]) -> Result<Vec<f16>, &'static str> {
    let Some(([first, exponents], rest)) = bytes.split_first_chunk::<2>() else {
        return Err("no table of codes");
    };
    let (first, exponents) = (usize::from(*first), usize::from(*exponents));
    let (nibbles, rest) =
        rest.split_at_checked(exponents.div_ceil(2)).ok_or("a short table of codes")?;
    let mut lengths = [0; SYMBOLS];
    let known = lengths
        .get_mut(first..)
        .and_then(|from| from.get_mut(..exponents))
        .ok_or("exponents beyond five bits")?;
    let mut halves = nibbles.iter().flat_map(|byte| [byte & 15, byte >> 4]);
    known.iter_mut().zip(&mut halves).for_each(|(length, found)| *length = found);
    if halves.any(|padding| padding != 0) {
        return Err("padding that is not zero");
    }
    let table = PrefixCode::with_lengths(lengths).ok_or("lengths of no prefix code")?.table();
    let (low, stream) = rest.split_at_checked(count).ok_or("fewer bytes than values")?;
    let mut stream = Bits::new(stream);
    let mut values = Vec::with_capacity(count);
    let mut whole = true;
    for some in low.chunks(AT_A_TIME) {
        stream.refill();
        for &low in some {
            let found = table[stream.peek()];
            whole &= found.length > 0;
            stream.skip(found.length.into());
            let beside = stream.peek() as u16;
            stream.skip(BESIDE);
            values.push(f16::from_bits(
                u16::from(low)
                    | (beside & 3) << 8
                    | u16::from(found.symbol) << 10
                    | (beside >> 2 & 1) << 15,
            ));
        }
    }
    if !whole {
        return Err("bits that begin no code");
    }
    if stream.is_over() { Ok(values) } else { Err("bits missing or left over") }
}

/// Reads bits from the lowest of each byte on; beyond the end there are zeros.
struct Bits<'b> {
    bytes: &'b [u8],
    /// Bytes taken into `word`.
    taken: usize,
    word: u64,
    held: u32,
}

impl<'b> Bits<'b> {
    fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, taken: 0, word: 0, held: 0 }
    }

    /// Makes at least 56 bits ready.
    fn refill(&mut self) {
        let rest = self.bytes.get(self.taken..).unwrap_or_default();
        let next = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            padded
        });
        // Bits above `held` may be there already: they are the same.
        self.word |= u64::from_le_bytes(next) << self.held;
        self.taken += ((63 - self.held) / 8) as usize;
        self.held |= 56;
    }

    /// The next eight bits.
    fn peek(&self) -> usize {
        (self.word & ((1 << LONGEST) - 1)) as usize
    }

    fn skip(&mut self, bits: u32) {
        self.word >>= bits;
        self.held -= bits;
    }

    /// Whether everything was read, but for less than a byte of zeros.
    fn is_over(&self) -> bool {
        let (read, all) = (self.taken * 8 - self.held as usize, self.bytes.len() * 8);
        read <= all && all - read < 8 && self.word & ((1 << (all - read)) - 1) == 0
    }
}
