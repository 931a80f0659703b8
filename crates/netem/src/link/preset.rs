//! Presets: links by name.

use super::config::{DirectionConfig, LinkConfig};
use std::{fmt, str::FromStr, time::Duration};

/// Hidden size of the models that scaled links are scaled from: Llama 2 7B and its like.
pub const REFERENCE_HIDDEN: usize = 4096;
/// Hidden size of the built-in demo model.
const DEMO_HIDDEN: usize = 256;

/// A link that many have. The first is the testbed of HAT (arXiv 2503.18989); the cellular ones are
/// round figures of the order that public speed tests report. None has jitter or stalls of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// Up 7.5 MB/s, down 12.5 MB/s, RTT 6 ms: the middle of HAT's ranges.
    Wifi,
    /// [`Preset::Wifi`] scaled by the model's hidden size, see [`LinkConfig::scaled`].
    WifiScaled,
    /// Up 2.5 MB/s, down 25 MB/s, RTT 30 ms.
    FiveG,
    /// Up 1.25 MB/s, down 5 MB/s, RTT 50 ms.
    Lte,
    /// Up and down 12.5 MB/s, RTT 80 ms: a fast line to another continent.
    Wan80,
    /// No limit and no delay: what the emulator itself costs.
    Loopback,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Wifi, Self::WifiScaled, Self::FiveG, Self::Lte, Self::Wan80, Self::Loopback];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wifi => "wifi",
            Self::WifiScaled => "wifi-scaled",
            Self::FiveG => "5g",
            Self::Lte => "lte",
            Self::Wan80 => "wan80",
            Self::Loopback => "loopback",
        }
    }

    /// Whether the model's hidden size is part of it.
    #[must_use]
    pub const fn is_scaled(self) -> bool {
        matches!(self, Self::WifiScaled)
    }

    /// The link for a model of this hidden size, which only scaled links look at.
    #[must_use]
    pub fn config(self, hidden: usize) -> LinkConfig {
        let (up, down, rtt_ms) = match self {
            Self::Wifi | Self::WifiScaled => (7.5e6, 12.5e6, 6),
            Self::FiveG => (2.5e6, 25e6, 30),
            Self::Lte => (1.25e6, 5e6, 50),
            Self::Wan80 => (12.5e6, 12.5e6, 80),
            Self::Loopback => (f64::INFINITY, f64::INFINITY, 0),
        };
        let delay = Duration::from_millis(rtt_ms) / 2;
        let config = LinkConfig {
            up: DirectionConfig::new(up, delay),
            down: DirectionConfig::new(down, delay),
            seed: 0,
        };
        if self.is_scaled() { config.scaled(hidden) } else { config }
    }
}

impl LinkConfig {
    /// The link of this name; a scaled one for the built-in demo model (see [`Preset::config`] for
    /// others).
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        preset.config(DEMO_HIDDEN)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no preset has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no link `{0}`; use one of {names}",
    names = Preset::ALL.map(Preset::name).join(", ")
)]
pub struct UnknownPreset(String);

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(text: &str) -> Result<Self, UnknownPreset> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| UnknownPreset(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_link_and_keeps_its_name() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            assert_eq!(LinkConfig::preset(preset).validate(), Ok(()));
            assert_eq!(preset.config(64) != preset.config(128), preset.is_scaled());
        }
        assert!(
            "wlan".parse::<Preset>().is_err_and(|error| error.to_string().contains("wifi-scaled"))
        );
        assert_eq!(Preset::WifiScaled.config(REFERENCE_HIDDEN), LinkConfig::preset(Preset::Wifi));
    }
}
