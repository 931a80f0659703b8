//! The check of a run's texts against the whole model's.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use crate::{
    error::BenchError,
    fleet::Outcome,
    workload::{Prompt, Request},
};

use super::reference::{Mismatch, difference};

/// How many texts were compared with the whole model's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Texts that were to be compared: one a request, mode and load.
    pub planned: usize,
    /// Texts that were. A request that failed or was stopped has none.
    pub done: usize,
}

/// Compares texts with references that are computed before anything is measured.
#[derive(Debug)]
pub(crate) struct Check {
    references: BTreeMap<usize, (Prompt, Vec<u32>)>,
    mismatches: Vec<Mismatch>,
    compared: Compared,
}

impl Check {
    /// A check of so many texts.
    pub(crate) fn of(planned: usize) -> Self {
        Self {
            references: BTreeMap::new(),
            mismatches: Vec::new(),
            compared: Compared { planned, done: 0 },
        }
    }

    /// Has `reference` write the texts of these requests, unless they are known; it gives none when
    /// the run is stopped.
    ///
    /// # Errors
    /// Those of `reference`.
    pub(crate) fn prepare(
        &mut self,
        requests: &[Request],
        reference: impl Fn(&Request) -> Result<Option<Vec<u32>>, BenchError>,
    ) -> Result<(), BenchError> {
        for request in requests {
            if self
                .references
                .get(&request.index)
                .is_some_and(|(known, _)| *known == request.prompt)
            {
                continue;
            }
            let Some(text) = reference(request)? else { break };
            self.references.insert(request.index, (Arc::clone(&request.prompt), text));
        }
        Ok(())
    }

    /// Compares the text of a request that was answered; one without an answer or a reference is
    /// not counted.
    pub(crate) fn outcome(&mut self, outcome: &Outcome, load: &str, mode: &str) {
        let (Ok(report), Some((_, text))) =
            (&outcome.result, self.references.get(&outcome.request))
        else {
            return;
        };
        self.compared.done += 1;
        if let Some((at, expected, got)) = difference(text, &report.token_ids) {
            let (mode, load) = (mode.to_owned(), load.to_owned());
            self.mismatches.push(Mismatch {
                mode,
                load,
                request: outcome.request,
                at,
                expected,
                got,
            });
        }
    }

    /// What was compared, and what was not equal.
    pub(crate) fn finish(self) -> (Compared, Vec<Mismatch>) {
        (self.compared, self.mismatches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cell::tests::outcome, fleet::Failure};
    use std::time::Duration;

    fn request(index: usize) -> Request {
        Request {
            index,
            arrival: Duration::ZERO,
            device: 0,
            prompt: Arc::from([1, 2]),
            max_new_tokens: 3,
        }
    }

    #[test]
    fn a_wrong_reference_is_found_and_only_answers_are_counted() {
        // Every text is three zeros; the second request's reference is not.
        let mut check = Check::of(4);
        let references = |request: &Request| {
            Ok(Some(if request.index == 1 { vec![0, 7, 0] } else { vec![0; 3] }))
        };
        check.prepare(&[request(0), request(1), request(2)], references).unwrap();
        check.outcome(&outcome(0, 10, &[1, 1]), "mid", "hat");
        check.outcome(&outcome(1, 10, &[1, 1]), "mid", "hat");
        for failure in [Failure::Late, Failure::Stopped] {
            check.outcome(&Outcome { result: Err(failure), ..outcome(2, 10, &[]) }, "mid", "hat");
        }
        check.outcome(&outcome(3, 10, &[1, 1]), "mid", "hat");
        let (compared, mismatches) = check.finish();
        assert_eq!(
            compared,
            Compared { planned: 4, done: 2 },
            "neither failures nor what has no reference"
        );
        let found: Vec<_> = mismatches
            .iter()
            .map(|found| (found.request, found.at, found.expected, found.got))
            .collect();
        assert_eq!(found, [(1, 1, Some(7), Some(0))]);
    }

    #[test]
    fn references_end_where_the_run_does() {
        let mut check = Check::of(2);
        check.prepare(&[request(0), request(1)], |_| Ok(None)).unwrap();
        check.outcome(&outcome(0, 10, &[1]), "mid", "hat");
        assert_eq!(check.finish(), (Compared { planned: 2, done: 0 }, Vec::new()));
    }
}
