//! Prefix codes for the exponents of binary16 values.

/// Exponents of binary16: five bits.
pub(super) const SYMBOLS: usize = 32;
/// The longest code, in bits: one look into a table of 256 entries decodes any.
pub(super) const LONGEST: u32 = 8;

/// A canonical prefix code: the lengths of the codes say all of it. Shorter codes come first, then
/// lower symbols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PrefixCode {
    /// In bits; 0 for a symbol without a code.
    lengths: [u8; SYMBOLS],
}

/// One symbol's code, its first bit lowest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) bits: u64,
    pub(super) length: u32,
}

/// What the next eight bits begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) symbol: u8,
    /// 0 where no code begins so.
    pub(super) length: u8,
}

impl PrefixCode {
    /// A code for symbols that occur so often, with none for those that do not: Huffman's, but for
    /// the bound on lengths.
    pub(super) fn of(counts: &[u32; SYMBOLS]) -> Self {
        let mut weights = *counts;
        loop {
            let lengths = huffman(&weights);
            if lengths.iter().all(|&length| u32::from(length) <= LONGEST) {
                return Self { lengths };
            }
            // Flatter weights make longest codes shorter; equal ones need five bits.
            weights
                .iter_mut()
                .filter(|weight| **weight > 0)
                .for_each(|weight| *weight = *weight / 2 + 1);
        }
    }

    /// The code with these lengths; `None` where one is too long, or no prefix code has them.
    pub(super) fn with_lengths(lengths: [u8; SYMBOLS]) -> Option<Self> {
        let shares = lengths
            .iter()
            .filter(|&&length| length > 0)
            .map(|&length| (1_u32 << LONGEST).checked_shr(length.into()).unwrap_or(0));
        let fits = lengths.iter().all(|&length| u32::from(length) <= LONGEST)
            && shares.sum::<u32>() <= 1 << LONGEST;
        fits.then_some(Self { lengths })
    }

    pub(super) fn lengths(&self) -> &[u8; SYMBOLS] {
        &self.lengths
    }

    /// The symbols' codes.
    pub(super) fn codes(&self) -> [Code; SYMBOLS] {
        let mut codes = [Code::default(); SYMBOLS];
        let mut next = 0_u32;
        for length in 1..=LONGEST {
            next <<= 1;
            for (code, _) in
                codes.iter_mut().zip(self.lengths).filter(|(_, found)| u32::from(*found) == length)
            {
                *code =
                    Code { bits: u64::from(next.reverse_bits() >> (u32::BITS - length)), length };
                next += 1;
            }
        }
        codes
    }

    /// By eight bits, what they begin with.
    pub(super) fn table(&self) -> [Decoded; 1 << LONGEST] {
        let mut table = [Decoded::default(); 1 << LONGEST];
        for (symbol, (code, length)) in (0..)
            .zip(self.codes().into_iter().zip(self.lengths))
            .filter(|(_, (_, length))| *length > 0)
        {
            let beginning_so = table.iter_mut().skip(code.bits as usize).step_by(1 << length);
            beginning_so.for_each(|entry| *entry = Decoded { symbol, length });
        }
        table
    }
}

/// Lengths of Huffman's code; a symbol that is alone has one bit.
fn huffman(weights: &[u32; SYMBOLS]) -> [u8; SYMBOLS] {
    let mut lengths = [0_u8; SYMBOLS];
    // Trees by weight and the set of their symbols.
    let mut trees: Vec<(u64, u32)> = (0..)
        .zip(weights)
        .filter(|(_, w)| **w > 0)
        .map(|(symbol, &w)| (w.into(), 1 << symbol))
        .collect();
    if let [(_, alone)] = trees[..] {
        lengths[alone.trailing_zeros() as usize] = 1;
        return lengths;
    }
    loop {
        trees.sort_unstable_by(|a, b| b.cmp(a));
        let Some(((lightest, left), (weight, right))) = trees.pop().zip(trees.pop()) else {
            return lengths;
        };
        let symbols = left | right;
        lengths
            .iter_mut()
            .enumerate()
            .filter(|(symbol, _)| symbols >> symbol & 1 == 1)
            .for_each(|(_, length)| *length += 1);
        trees.push((lightest + weight, symbols));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(usize, u32)]) -> [u32; SYMBOLS] {
        let mut counts = [0; SYMBOLS];
        of.iter().for_each(|&(symbol, count)| counts[symbol] = count);
        counts
    }

    #[test]
    fn frequent_symbols_have_short_codes() {
        let code = PrefixCode::of(&counts(&[(3, 8), (4, 4), (5, 2), (6, 2)]));
        assert_eq!(code.lengths()[3..7], [1, 2, 3, 3]);
        let bits: Vec<(u64, u32)> =
            code.codes()[3..7].iter().map(|code| (code.bits, code.length)).collect();
        assert_eq!(bits, [(0b0, 1), (0b01, 2), (0b011, 3), (0b111, 3)]);
    }

    #[test]
    fn one_symbol_or_none_is_a_code_too() {
        assert_eq!(PrefixCode::of(&counts(&[])).lengths(), &[0; SYMBOLS]);
        assert_eq!(PrefixCode::of(&counts(&[(31, 9)])).codes()[31], Code { bits: 0, length: 1 });
    }

    #[test]
    fn no_code_is_too_long_and_every_code_is_found_again() {
        let steep: Vec<(usize, u32)> =
            (0..32).map(|symbol| (symbol, 1 << symbol.min(30))).collect();
        for counts in [counts(&steep), [1; SYMBOLS], counts(&[(0, 1), (31, u32::MAX)])] {
            let code = PrefixCode::of(&counts);
            assert_eq!(PrefixCode::with_lengths(*code.lengths()), Some(code));
            let table = code.table();
            for (symbol, Code { bits, length }) in
                code.codes().into_iter().enumerate().filter(|(symbol, _)| counts[*symbol] > 0)
            {
                assert!((1..=LONGEST).contains(&length));
                for after in 0..1 << (LONGEST - length) {
                    let found = table[(bits | after << length) as usize];
                    assert_eq!(
                        (usize::from(found.symbol), u32::from(found.length)),
                        (symbol, length)
                    );
                }
            }
        }
    }

    #[test]
    fn lengths_that_are_no_code_are_refused() {
        let with = |lengths: &[u8]| {
            let mut all = [0; SYMBOLS];
            all[..lengths.len()].copy_from_slice(lengths);
            PrefixCode::with_lengths(all)
        };
        assert!(with(&[1, 1, 8]).is_none() && with(&[9]).is_none() && with(&[255, 255]).is_none());
        let gaps = with(&[2, 3]).unwrap();
        assert_eq!(gaps.table().iter().filter(|entry| entry.length == 0).count(), 256 - 64 - 32);
    }
}
