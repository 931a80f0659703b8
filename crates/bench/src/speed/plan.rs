//! The plan of a measurement of speed.

use super::work::Work;
use crate::error::BenchError;

/// Prompt lengths that a model's context may have room for.
const PREFILL: [usize; 4] = [8, 64, 512, 2048];

/// What `tricorn bench engine` measures.
#[derive(Clone, Debug)]
pub struct SpeedPlan {
    /// Lengths of prompts in tokens; none: 8, 64, 512 and 2,048 as far as the context has room.
    /// Decoding is measured behind the shortest and the longest, batches behind the shortest.
    pub prefill: Vec<usize>,
    /// Rows of batches; one row is always measured.
    pub rows: Vec<usize>,
    /// Tokens to decode.
    pub decode: usize,
    /// How often everything is measured; figures are medians.
    pub rounds: usize,
}

impl SpeedPlan {
    /// All pieces of work, in an order in which the caches grow and then shrink.
    pub(super) fn work(&self, context: usize) -> Result<Vec<Work>, BenchError> {
        let (prefill, rows) = (self.lengths(context), self.batches());
        let (Some(&short), Some(&long)) = (prefill.first(), prefill.last()) else {
            return Err(setting(
                "--prefill",
                "nothing that fits the context",
                format!("lengths below {context}"),
            ));
        };
        for (what, value) in [
            ("--prefill", short),
            ("--rows", rows[0]),
            ("--decode", self.decode),
            ("--rounds", self.rounds),
        ] {
            if value == 0 {
                return Err(setting(what, "0", "1 or more".to_owned()));
            }
        }
        let mut work: Vec<Work> = prefill.iter().map(|&rows| Work::prefill(rows)).collect();
        if long > short {
            work.push(Work::decode(long, self.decode));
        }
        work.push(Work::decode(short, self.decode));
        work.extend(rows.iter().map(|&rows| Work::verify(rows, short)));
        match work.iter().map(|work| work.end()).max().filter(|&end| end > context) {
            Some(end) => Err(setting(
                "the longest sequence",
                &end.to_string(),
                format!("shorter prompts: the context is {context}"),
            )),
            None => Ok(work),
        }
    }

    /// Positions that the longest sequence has at most.
    pub(super) fn positions(&self) -> usize {
        let longest = self.prefill.iter().chain(&PREFILL).copied().max().unwrap_or_default();
        longest + self.decode.max(self.rows.iter().copied().max().unwrap_or_default())
    }

    fn lengths(&self, context: usize) -> Vec<usize> {
        if self.prefill.is_empty() {
            PREFILL.into_iter().filter(|length| length + self.decode <= context).collect()
        } else {
            ascending(&self.prefill)
        }
    }

    fn batches(&self) -> Vec<usize> {
        ascending(&[&[1], &self.rows[..]].concat())
    }
}

fn ascending(numbers: &[usize]) -> Vec<usize> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn setting(what: &'static str, value: &str, instead: String) -> BenchError {
    BenchError::Setting { what, value: value.to_owned(), instead }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(prefill: &[usize], rows: &[usize]) -> SpeedPlan {
        SpeedPlan { prefill: prefill.to_vec(), rows: rows.to_vec(), decode: 16, rounds: 1 }
    }

    #[test]
    fn the_default_lengths_are_those_that_fit() {
        let names = |plan: SpeedPlan, context| {
            plan.work(context).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            names(plan(&[], &[4]), 256),
            ["prefill 8", "prefill 64", "decode at 64", "decode at 8", "1 row at 8", "4 rows at 8"]
        );
        assert_eq!(
            names(plan(&[5], &[2, 1, 2]), 256),
            ["prefill 5", "decode at 5", "1 row at 5", "2 rows at 5"]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(plan(&[0, 4], &[1]).work(256).is_err());
        assert!(plan(&[4], &[0]).work(256).is_err());
        assert!(plan(&[], &[]).work(8).is_err());
        let error = plan(&[250], &[1]).work(256).unwrap_err().to_string();
        assert_eq!(error, "the longest sequence is 266; use shorter prompts: the context is 256");
    }
}
