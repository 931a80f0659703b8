//! Sweeps: questions that one comparison does not answer.

mod chunks;
mod inputs;
mod interference;
mod pair;
mod stages;
mod switching;

use std::str::FromStr;

use inputs::Inputs;

use crate::{
    compare::Plan,
    error::BenchError,
    fleet::Setup,
    mode::Mode,
    report::Report,
    run::{Observer, Stop},
    workload::Prompts,
};

/// A question with a measurement of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Chunks of a fixed size against the dynamic one, over three bandwidths and while the
    /// bandwidth changes.
    Chunks,
    /// What a long prompt does to the texts that others are writing.
    Interference,
    /// What drafting during the verification gains at a round trip of 20 ms.
    Parallel,
    /// The adapter against the fused drafter.
    Drafters,
    /// What sending a round's rows one by one gains.
    Streaming,
    /// A middle in two processes against one.
    Stages,
}

impl Sweep {
    /// Requests a cell, unless asked otherwise: sweeps have many cells.
    pub const REQUESTS: usize = 12;
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Chunks,
        Self::Interference,
        Self::Parallel,
        Self::Drafters,
        Self::Streaming,
        Self::Stages,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chunks => "chunks",
            Self::Interference => "interference",
            Self::Parallel => "parallel",
            Self::Drafters => "drafters",
            Self::Streaming => "streaming",
            Self::Stages => "stages",
        }
    }

    /// The modes that it compares.
    ///
    /// # Errors
    /// Never for the sweeps there are; modes are looked up by name.
    pub fn modes(self) -> Result<Vec<Mode>, BenchError> {
        match self {
            Self::Chunks => chunks::modes(),
            Self::Interference => interference::modes(),
            Self::Parallel => pair::PARALLEL.modes(),
            Self::Drafters => pair::DRAFTERS.modes(),
            Self::Streaming => pair::STREAMING.modes(),
            Self::Stages => stages::modes(),
        }
    }
}

impl FromStr for Sweep {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Self, BenchError> {
        Self::ALL.into_iter().find(|sweep| sweep.name() == name).ok_or_else(|| {
            BenchError::Unknown {
                what: "sweep",
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            }
        })
    }
}

/// Runs a sweep over the plan's scenario; its modes are the sweep's own.
///
/// # Errors
/// As [`compare`](crate::compare()).
pub fn sweep(
    kind: Sweep,
    setup: &Setup,
    prompts: &Prompts,
    plan: &Plan,
    observer: &dyn Observer,
    stop: &Stop,
) -> Result<Vec<Report>, BenchError> {
    let plan = Plan { modes: kind.modes()?, ..plan.clone() };
    let inputs = Inputs { setup, prompts, observer, stop };
    match kind {
        Sweep::Chunks => {
            let mut reports = chunks::run(inputs, &plan)?;
            if !stop.is_asked() {
                reports.push(switching::run(inputs, &plan)?);
            }
            Ok(reports)
        }
        Sweep::Interference => Ok(vec![interference::run(inputs, &plan)?]),
        Sweep::Parallel => Ok(vec![pair::PARALLEL.run(inputs, &plan)?]),
        Sweep::Drafters => Ok(vec![pair::DRAFTERS.run(inputs, &plan)?]),
        Sweep::Streaming => Ok(vec![pair::STREAMING.run(inputs, &plan)?]),
        Sweep::Stages => Ok(vec![stages::run(inputs, &plan)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sweep_has_a_name_and_modes_to_compare() {
        for sweep in Sweep::ALL {
            assert_eq!(sweep.name().parse::<Sweep>().unwrap(), sweep);
            let modes = sweep.modes().unwrap();
            assert!(
                !modes.is_empty() && modes.windows(2).all(|pair| pair[0].name != pair[1].name),
                "{modes:?}"
            );
        }
        assert!("bandwidth".parse::<Sweep>().unwrap_err().to_string().contains("interference"));
    }
}
