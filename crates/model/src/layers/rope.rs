//! Rotary position embedding.

use crate::config::{LayerShape, Rope, RopeScaling};
use tricorn_kernels::rows::rotate;

/// The angles' frequencies of one model, one per pair of dimensions.
#[derive(Debug)]
pub(crate) struct RopeTable {
    inverse_frequencies: Vec<f32>,
}

/// Cosines and sines of some positions, `rows x head_dim / 2` each.
#[derive(Debug)]
pub(crate) struct RopeRows {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

/// The tables of some layers, one for each width of heads that occurs.
#[derive(Debug)]
pub(crate) struct RopeTables(Vec<RopeTable>);

/// The angles of some positions, for each width of heads that occurs.
#[derive(Debug)]
pub(crate) struct RopeRowsByWidth(Vec<RopeRows>);

impl RopeTables {
    pub(crate) fn new(rope: &Rope, layers: &[LayerShape]) -> Self {
        let mut widths: Vec<usize> =
            layers.iter().map(|layer| layer.head_dim).filter(|width| *width > 0).collect();
        widths.sort_unstable();
        widths.dedup();
        Self(widths.into_iter().map(|width| RopeTable::new(rope, width)).collect())
    }

    /// The index of the table for heads of this width; beyond the last where there is none.
    pub(crate) fn index(&self, head_dim: usize) -> usize {
        let found = self.0.iter().position(|table| table.inverse_frequencies.len() * 2 == head_dim);
        found.unwrap_or(self.0.len())
    }

    /// The angles of the given positions, in order.
    pub(crate) fn rows(&self, positions: impl Iterator<Item = usize> + Clone) -> RopeRowsByWidth {
        RopeRowsByWidth(self.0.iter().map(|table| table.rows(positions.clone())).collect())
    }
}

impl RopeRowsByWidth {
    /// Those of the table with this index.
    pub(crate) fn get(&self, index: usize) -> Option<&RopeRows> {
        self.0.get(index)
    }

    /// Those of all tables.
    #[cfg(feature = "candle")]
    pub(crate) fn into_rows(self) -> impl Iterator<Item = RopeRows> {
        self.0.into_iter()
    }
}

impl RopeTable {
    /// Frequencies `theta^(-2i / head_dim)` (Su et al. 2021), scaled as the model's configuration
    /// says; Llama 3's scaling is the one of `_compute_llama3_parameters` in HF transformers.
    pub(crate) fn new(rope: &Rope, head_dim: usize) -> Self {
        let plain = (0..head_dim / 2)
            .map(|i| 1.0 / f64::from(rope.theta).powf((2 * i) as f64 / head_dim as f64) as f32);
        let scaled = |(pair, frequency): (usize, f32)| match rope.scaling {
            RopeScaling::None => frequency,
            RopeScaling::Linear { factor } => frequency / factor,
            RopeScaling::PerPair { ref divisors } => frequency / divisors[pair],
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context } => {
                let context = original_context as f32;
                let wavelength = 2.0 * std::f32::consts::PI / frequency;
                if wavelength < context / high_freq_factor {
                    frequency
                } else if wavelength > context / low_freq_factor {
                    frequency / factor
                } else {
                    let smooth = (context / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        };
        Self { inverse_frequencies: plain.enumerate().map(scaled).collect() }
    }

    /// The angles of the given positions, in order.
    pub(crate) fn rows(&self, positions: impl Iterator<Item = usize>) -> RopeRows {
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        for position in positions {
            for frequency in &self.inverse_frequencies {
                // In double precision, because system libraries differ in the last bit: rounded to
                // single they agree.
                let (s, c) = f64::from(position as f32 * frequency).sin_cos();
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
        RopeRows { cos, sin, half: self.inverse_frequencies.len() }
    }
}

impl Rope {
    /// Cosines and sines of rows at `positions`, `positions x head_dim / 2` each; pairs are `(i, i
    /// + head_dim / 2)`. For trainers, which rotate back too.
    #[must_use]
    pub fn angles(
        &self,
        head_dim: usize,
        positions: impl Iterator<Item = usize>,
    ) -> (Vec<f32>, Vec<f32>) {
        RopeTable::new(self, head_dim).rows(positions).into_parts()
    }
}

impl RopeRows {
    /// Cosines and sines, `rows x head_dim / 2` each.
    pub(crate) fn into_parts(self) -> (Vec<f32>, Vec<f32>) {
        (self.cos, self.sin)
    }

    /// Rotates all heads of one row in place; pairs are `(i, i + head_dim / 2)`, as in HF
    /// transformers.
    pub(crate) fn rotate(&self, row: usize, heads: &mut [f32]) {
        let angles = row * self.half..(row + 1) * self.half;
        rotate(heads, &self.cos[angles.clone()], &self.sin[angles]);
    }
}
