//! History of a run: one point for each measurement.

use serde::{Deserialize, Serialize};

/// One measurement on the held-out prompts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryPoint {
    /// Steps done.
    pub step: u64,
    /// Tokens trained.
    pub tokens: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Mean loss since the point before; `None` before the first step.
    pub loss: Option<f64>,
    /// Tokens per verification round when drafting never stops early.
    pub tokens_per_round: f64,
}

/// All measurements of a run, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The measurements.
    pub points: Vec<HistoryPoint>,
}

impl History {
    /// The best tokens per round so far; 0 before the first measurement.
    #[must_use]
    pub fn best(&self) -> f64 {
        self.points.iter().map(|point| point.tokens_per_round).fold(0.0, f64::max)
    }

    /// How many of the last points did not bring at least 0.5 % over the best before them.
    #[must_use]
    pub fn flat(&self) -> usize {
        let (mut best, mut flat) = (0.0_f64, 0);
        for point in &self.points {
            if point.tokens_per_round > best * 1.005 {
                (best, flat) = (point.tokens_per_round, 0);
            } else {
                flat += 1;
            }
        }
        flat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_points_without_progress() {
        let history = |values: &[f64]| History {
            points: values
                .iter()
                .map(|&tokens_per_round| HistoryPoint {
                    step: 0,
                    tokens: 0,
                    seconds: 0.0,
                    loss: None,
                    tokens_per_round,
                })
                .collect(),
        };
        assert_eq!(history(&[]).flat(), 0);
        assert_eq!(history(&[1.0, 1.1, 1.2]).flat(), 0);
        assert_eq!(history(&[1.0, 1.2, 1.2, 1.205, 1.1]).flat(), 3);
        assert_eq!(history(&[1.0, 1.2, 1.2, 1.3]).flat(), 0);
        assert_eq!(history(&[1.0, 1.3, 1.2]).best(), 1.3);
    }
}
