//! Findings of a sweep, with their targets.

use std::fmt;

use serde::Serialize;

use crate::figures::short;

/// What a sweep found, beside what was hoped for. Nothing is asserted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// What was compared.
    pub what: String,
    /// The ratio that was measured; none where it could not be.
    pub measured: Option<f64>,
    /// The ratio that was hoped for.
    pub target: Target,
}

/// A hoped-for ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
}

impl Finding {
    /// Whether the target is met; unknown without a measurement.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.measured.map(|measured| match self.target {
            Target::AtMost(target) => measured <= target,
            Target::AtLeast(target) => measured >= target,
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = match self.target {
            Target::AtMost(target) => format!("at most {}", short(target)),
            Target::AtLeast(target) => format!("at least {}", short(target)),
        };
        match (self.measured, self.is_met()) {
            (Some(measured), Some(met)) => {
                write!(
                    f,
                    "{}: {} ({}; target {target})",
                    self.what,
                    short(measured),
                    if met { "met" } else { "not met" }
                )
            }
            _ => write!(f, "{}: not measured (target {target})", self.what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_whether_its_target_is_met() {
        let finding = |measured, target| Finding { what: "TBT".to_owned(), measured, target };
        assert_eq!(
            finding(Some(0.75), Target::AtMost(0.8)).to_string(),
            "TBT: 0.75 (met; target at most 0.80)"
        );
        assert_eq!(finding(Some(1.5), Target::AtLeast(2.0)).is_met(), Some(false));
        assert_eq!(finding(None, Target::AtMost(1.0)).is_met(), None);
    }
}
