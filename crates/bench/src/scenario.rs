//! The scenarios: one table of links, devices, clouds and loads. No mode has a setting of its own
//! in it.

mod class;

use std::{str::FromStr, time::Duration};

pub use class::DeviceClass;
use tricorn_core::Cost;
use tricorn_netem::{LinkConfig, Preset};

use crate::{error::BenchError, workload::PromptLengths};

/// Everything about a run but the method.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it stands for, in one line.
    pub about: &'static str,
    /// The link at the middle distance, of a 7B model; scaled by the model's hidden size.
    pub link: Preset,
    /// What the link's rates are multiplied by beyond that.
    pub rates_times: f64,
    /// The link's round trip, where it is not the preset's.
    pub rtt: Option<Duration>,
    /// Devices; they go through all pairs of distance and class.
    pub devices: usize,
    /// Whether devices and cloud take the time that a 7B model takes on the paper's machines, or
    /// their own on this machine.
    pub throttle: Option<Throttle>,
    /// Requests a second at the three loads.
    pub rates: [f64; 3],
    /// How long prompts are.
    pub lengths: PromptLengths,
    /// Requests a cell, unless asked otherwise.
    pub requests: usize,
    /// Tokens to generate, unless asked otherwise.
    pub max_new_tokens: usize,
    /// What a user of this scenario would call fast enough.
    pub slo: Slo,
}

/// The time that computing is made to take at least. Computing is real; what is left of the time is
/// slept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throttle {
    /// One batch in the cloud.
    pub cloud: Cost,
    /// Device classes, in turn.
    pub devices: [DeviceClass; 2],
}

/// A service level objective: a request meets it when both hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slo {
    /// Longest time to first token.
    pub ttft: Duration,
    /// Longest mean time between tokens.
    pub tbt: Duration,
}

/// How many requests come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// A device is mostly free when its request comes.
    Low,
    /// Requests overlap.
    Middle,
    /// Without drafts, devices are busy most of the time.
    High,
}

impl Load {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Low, Self::Middle, Self::High];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Middle => "mid",
            Self::High => "high",
        }
    }
}

impl FromStr for Load {
    type Err = BenchError;

    fn from_str(name: &str) -> Result<Self, BenchError> {
        Self::ALL.into_iter().find(|load| load.name() == name).ok_or_else(|| BenchError::Unknown {
            what: "load",
            name: name.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// Distances: the middle link's rates times these. The paper's WiFi gives 5, 7.5 and 10 MB/s up and
/// 10, 12.5 and 15 MB/s down.
const DISTANCES: [(&str, f64, f64); 3] =
    [("far", 2.0 / 3.0, 0.8), ("middle", 1.0, 1.0), ("near", 4.0 / 3.0, 1.2)];

const fn cost(base_us: u64, per_row_us: u64) -> Cost {
    Cost { base: Duration::from_micros(base_us), per_row: Duration::from_micros(per_row_us) }
}

/// Six devices stand for the paper's thirty, so that two cores can run them: a row costs the cloud
/// five times what it cost theirs. A prompt of 351 tokens is then 384 ms of upload and, without
/// chunks, about 300 ms of computing on device and cloud, as in the paper's 384 of 646 ms, the
/// times to first token of HAT and of U-shape in its comparison; its ablation table has 656 in
/// place of 646, and both are the paper's. U-shape's time between tokens was measured here as about
/// 36 ms, the wait for the running batch included. A draft of HAT's takes 0.15 (Xavier) and 0.11
/// (Orin) of that.
const PAPER: Throttle = Throttle {
    cloud: cost(16_000, 400),
    devices: [
        DeviceClass {
            name: "xavier",
            shallow: cost(1_200, 520),
            draft: cost(5_400, 240),
            head: cost(1_200, 50),
        },
        DeviceClass {
            name: "orin",
            shallow: cost(700, 320),
            draft: cost(4_000, 160),
            head: cost(700, 30),
        },
    ],
};

const PAPER_SLO: Slo = Slo { ttft: Duration::from_millis(1000), tbt: Duration::from_millis(50) };

const PAPER_PROPORTIONS: Scenario = Scenario {
    name: "paper-proportions",
    about: "the paper's WiFi, devices and server, each in the proportion to the others that it \
            had with a 7B model",
    link: Preset::Wifi,
    rates_times: 1.0,
    rtt: None,
    devices: 6,
    throttle: Some(PAPER),
    rates: [0.25, 0.5, 0.8],
    lengths: PromptLengths::SPEC_BENCH,
    requests: 24,
    max_new_tokens: 128,
    slo: PAPER_SLO,
};

/// What can be measured.
pub const SCENARIOS: [Scenario; 6] = [
    PAPER_PROPORTIONS,
    Scenario {
        name: "wifi-scaled",
        about: "the same link, with device and cloud as fast as this machine computes",
        devices: 3,
        throttle: None,
        rates: [0.5, 1.0, 2.0],
        slo: Slo { tbt: Duration::from_millis(20), ..PAPER_SLO },
        ..PAPER_PROPORTIONS
    },
    Scenario {
        name: "5g",
        about: "a 5G uplink, otherwise as paper-proportions",
        link: Preset::FiveG,
        rates: [0.15, 0.3, 0.5],
        slo: Slo { ttft: Duration::from_millis(2000), tbt: Duration::from_millis(80) },
        ..PAPER_PROPORTIONS
    },
    Scenario {
        name: "lte",
        about: "an LTE uplink, otherwise as paper-proportions",
        link: Preset::Lte,
        rates: [0.1, 0.2, 0.35],
        slo: Slo { ttft: Duration::from_millis(4000), tbt: Duration::from_millis(100) },
        ..PAPER_PROPORTIONS
    },
    Scenario {
        name: "wan80",
        about: "a fast line with a round trip of 80 ms, otherwise as paper-proportions",
        link: Preset::Wan80,
        rates: [0.1, 0.2, 0.35],
        slo: Slo { ttft: Duration::from_millis(1000), tbt: Duration::from_millis(100) },
        ..PAPER_PROPORTIONS
    },
    Scenario {
        name: "quick",
        about: "short prompts on two devices as fast as this machine computes: a few seconds, to \
                see that all modes work",
        devices: 2,
        throttle: None,
        rates: [2.0, 4.0, 8.0],
        lengths: PromptLengths { scale: 0.25, most: 200 },
        requests: 4,
        max_new_tokens: 12,
        slo: Slo { ttft: Duration::from_millis(500), tbt: Duration::from_millis(20) },
        ..PAPER_PROPORTIONS
    },
];

impl Scenario {
    /// The scenario of this name.
    ///
    /// # Errors
    /// When there is none; the error lists them.
    pub fn named(name: &str) -> Result<Self, BenchError> {
        SCENARIOS.into_iter().find(|scenario| scenario.name == name).ok_or_else(|| {
            BenchError::Unknown {
                what: "scenario",
                name: name.to_owned(),
                known: SCENARIOS.map(|scenario| scenario.name).join(", "),
            }
        })
    }

    /// A load's name and requests a second.
    #[must_use]
    pub fn load(&self, load: Load) -> (String, f64) {
        (load.name().to_owned(), self.rates[load as usize])
    }

    /// The link of one device of a model of this hidden size: devices take the distances in turn.
    #[must_use]
    pub fn link_config(&self, device: usize, hidden: usize) -> LinkConfig {
        let (_, up, down) = DISTANCES[device % DISTANCES.len()];
        let mut config = if self.link.is_scaled() {
            self.link.config(hidden)
        } else {
            self.link.config(hidden).scaled(hidden)
        };
        config.up.bytes_per_s *= up * self.rates_times;
        config.down.bytes_per_s *= down * self.rates_times;
        if let Some(rtt) = self.rtt {
            (config.up.delay, config.down.delay) = (rtt / 2, rtt / 2);
        }
        config.seed = device as u64;
        config
    }

    /// The class of one device: three devices in a row, one a distance, have the same.
    #[must_use]
    pub fn class(&self, device: usize) -> Option<DeviceClass> {
        self.throttle
            .map(|throttle| throttle.devices[device / DISTANCES.len() % throttle.devices.len()])
    }

    /// What to call one device.
    #[must_use]
    pub fn device_name(&self, device: usize) -> String {
        let (distance, ..) = DISTANCES[device % DISTANCES.len()];
        match self.class(device) {
            Some(class) => format!("{} {distance}", class.name),
            None => distance.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_run() {
        for scenario in SCENARIOS {
            assert_eq!(Scenario::named(scenario.name).unwrap(), scenario);
            assert!(scenario.devices > 0 && scenario.requests > 0 && scenario.max_new_tokens > 0);
            assert!(scenario.rates.is_sorted() && scenario.rates[0] > 0.0);
            assert!(
                (0..scenario.devices)
                    .all(|device| scenario.link_config(device, 256).validate().is_ok())
            );
        }
        let error = Scenario::named("wlan").unwrap_err().to_string();
        assert!(error.contains("wlan") && error.contains("paper-proportions"), "{error}");
    }

    #[test]
    fn six_devices_are_all_pairs_of_distance_and_class() {
        let mut names: Vec<String> =
            (0..6).map(|device| PAPER_PROPORTIONS.device_name(device)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 6, "{names:?}");
    }

    #[test]
    fn a_token_of_any_model_takes_as_long_as_a_7b_models_on_the_papers_wifi() {
        for hidden in [256, 4096] {
            let rates: Vec<f64> = (0..3)
                .map(|device| PAPER_PROPORTIONS.link_config(device, hidden).up.bytes_per_s)
                .collect();
            let ms: Vec<f64> =
                rates.iter().map(|rate| 351.0 * 2.0 * hidden as f64 / rate * 1e3).collect();
            for (ms, rate) in ms.iter().zip([5e6, 7.5e6, 10e6]) {
                assert!((ms - 351.0 * 8192.0 / rate * 1e3).abs() < 1e-6);
            }
        }
    }
}
