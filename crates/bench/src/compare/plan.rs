//! The plan of a comparison, and its bounds.

use std::collections::BTreeSet;

use crate::{error::BenchError, mode::Mode, scenario::Scenario};

/// A block has a request for every device, or fewer where that would give fewer blocks: with one
/// block no mode changes its place.
const LEAST_BLOCKS: usize = 3;
/// Threads and sockets of this process set the bound.
const MOST_DEVICES: usize = 64;
const MOST_REQUESTS: usize = 100_000;
const LEAST_RATE: f64 = 1e-3;
const MOST_RATE: f64 = 1e3;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Links, devices, cloud.
    pub scenario: Scenario,
    /// Names and rates, in requests a second.
    pub loads: Vec<(String, f64)>,
    /// Methods, in the order of the report.
    pub modes: Vec<Mode>,
    /// Requests a cell.
    pub requests: usize,
    /// Tokens to generate for each.
    pub max_new_tokens: usize,
    /// Decides arrivals, prompts and devices.
    pub seed: u64,
    /// Whether every text is compared with the whole model's.
    pub check: bool,
}

impl Plan {
    /// # Errors
    /// When there is nothing to measure or a number makes no sense.
    pub fn check(&self) -> Result<(), BenchError> {
        let setting = |what, value: String, instead: &str| {
            Err(BenchError::Setting { what, value, instead: instead.to_owned() })
        };
        if self.scenario.devices == 0 || self.scenario.devices > MOST_DEVICES {
            return setting(
                "the number of devices",
                self.scenario.devices.to_string(),
                &format!("1 to {MOST_DEVICES}"),
            );
        }
        if self.requests == 0 || self.requests > MOST_REQUESTS {
            return setting(
                "the number of requests",
                self.requests.to_string(),
                &format!("1 to {MOST_REQUESTS}"),
            );
        }
        for (_, rate) in &self.loads {
            if !rate.is_finite() || *rate < LEAST_RATE || *rate > MOST_RATE {
                return setting(
                    "the rate",
                    format!("{rate} requests/s"),
                    &format!("{LEAST_RATE} to {MOST_RATE}"),
                );
            }
        }
        if self.modes.is_empty() {
            return setting(
                "the list of modes",
                "empty".to_owned(),
                &format!("some of {}", Mode::NAMES.join(", ")),
            );
        }
        // Figures are told apart by these names.
        if let Some(mode) = twice(self.modes.iter().map(|mode| mode.name.as_str())) {
            return setting(
                "the list of modes",
                format!("one in which `{mode}` stands twice"),
                "every mode once",
            );
        }
        if let Some(load) = twice(self.loads.iter().map(|(load, _)| load.as_str())) {
            return setting(
                "the list of loads",
                format!("one in which `{load}` stands twice"),
                "every load once",
            );
        }
        Ok(())
    }

    /// Blocks that the requests of a load are cut into.
    pub(super) fn blocks(&self) -> usize {
        self.requests.div_ceil(self.scenario.devices).max(LEAST_BLOCKS).min(self.requests)
    }
}

/// The first name that has been there before.
fn twice<'n>(mut names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let mut before = BTreeSet::new();
    names.find(|name| !before.insert(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(requests: usize, devices: usize) -> Plan {
        let mut scenario = Scenario::named("paper-proportions").unwrap();
        scenario.devices = devices;
        Plan {
            scenario,
            loads: Vec::new(),
            modes: Vec::new(),
            requests,
            max_new_tokens: 1,
            seed: 1,
            check: false,
        }
    }

    #[test]
    fn a_block_has_one_request_a_device_or_fewer_so_that_there_are_some() {
        assert_eq!(
            [24, 18, 6, 7, 2, 1].map(|requests| plan(requests, 6).blocks()),
            [4, 3, 3, 3, 2, 1]
        );
        assert_eq!(plan(12, 1).blocks(), 12);
    }

    #[test]
    fn nothing_is_named_twice() {
        let mode = |name: &str| Mode::named(name).unwrap();
        let modes = vec![mode("u-shape"), mode("hat"), mode("u-shape")];
        let error = Plan { modes, ..plan(1, 1) }.check().unwrap_err().to_string();
        assert!(error.contains("`u-shape` stands twice"), "{error}");
        let plan = Plan {
            modes: vec![mode("hat")],
            loads: vec![("mid".to_owned(), 1.0), ("mid".to_owned(), 1.0)],
            ..plan(1, 1)
        };
        assert!(plan.check().unwrap_err().to_string().contains("`mid` stands twice"));
        assert!(
            Plan { loads: vec![("mid".to_owned(), 1.0), ("high".to_owned(), 2.0)], ..plan }
                .check()
                .is_ok()
        );
    }
}
