//! Configuration of a link: rate, delay, jitter, stalls and queue of each direction.

use super::{error::LinkConfigError, preset::REFERENCE_HIDDEN, stall::Stalls};
use std::time::Duration;

/// Least rate of a direction, in bytes a second.
pub const MIN_RATE: f64 = 1.0;
/// Longest delay, and longest stall.
pub const MAX_DELAY: Duration = Duration::from_secs(60);

/// Time that one packet may take, so that the first bytes of a message arrive early, as on a real
/// link.
const PACKET_SECONDS: f64 = 0.25e-3;
/// One Ethernet frame: below this no link cuts.
const MIN_PACKET: f64 = 1500.0;
const MAX_PACKET: f64 = 4096.0;
/// A packet where nothing limits the rate.
const UNLIMITED_PACKET: usize = 64 << 10;
/// Round trip that a queue is made for at the least: the thread that fills it needs some slack.
const MIN_QUEUE_RTT: f64 = 20e-3;
const MIN_QUEUE: f64 = (16 << 10) as f64;
/// Bytes under way where nothing limits the rate: 200 MB/s at a delay of 160 ms.
const UNLIMITED_QUEUE: usize = 32 << 20;

/// A link between a device and a cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// From the device to the cloud.
    pub up: DirectionConfig,
    /// From the cloud to the device.
    pub down: DirectionConfig,
    /// Seed of jitter and stalls.
    pub seed: u64,
}

/// One direction of a link. All connections share it: it is one radio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DirectionConfig {
    /// Bytes a second; infinity for no limit.
    pub bytes_per_s: f64,
    /// Time from the end of a packet's transmission to its arrival.
    pub delay: Duration,
    /// The delay varies by as much either way, evenly, without reordering; at most the delay.
    pub jitter: Duration,
    /// Moments in which nothing leaves.
    pub stalls: Option<Stalls>,
    /// Bytes that may wait for transmission before the sender is held back; `None` for
    /// [`DirectionConfig::queue_limit`]'s rule.
    pub queue_bytes: Option<usize>,
}

impl DirectionConfig {
    /// As fast as this machine carries.
    pub const UNLIMITED: Self = Self::new(f64::INFINITY, Duration::ZERO);

    /// A direction without jitter and stalls.
    #[must_use]
    pub const fn new(bytes_per_s: f64, delay: Duration) -> Self {
        Self { bytes_per_s, delay, jitter: Duration::ZERO, stalls: None, queue_bytes: None }
    }

    /// Bytes that may wait for transmission. Unless set: twice the bandwidth-delay product of a
    /// round trip of `2 delay` or 20 ms, whichever is longer, and at least 16 KiB; 32 MiB under way
    /// where nothing limits the rate.
    #[must_use]
    pub fn queue_limit(&self) -> usize {
        let rule = if self.is_unlimited() {
            UNLIMITED_QUEUE
        } else {
            (2.0 * self.bytes_per_s * (2.0 * self.delay.as_secs_f64()).max(MIN_QUEUE_RTT))
                .max(MIN_QUEUE) as usize
        };
        self.queue_bytes.unwrap_or(rule)
    }

    pub(super) fn is_unlimited(&self) -> bool {
        self.bytes_per_s.is_infinite()
    }

    /// Most bytes of one packet: longer runs of bytes are to be cut into packets of as many.
    #[must_use]
    pub fn packet_bytes(&self) -> usize {
        if self.is_unlimited() {
            UNLIMITED_PACKET
        } else {
            (self.bytes_per_s * PACKET_SECONDS).clamp(MIN_PACKET, MAX_PACKET) as usize
        }
    }

    fn validate(&self, way: &'static str) -> Result<(), LinkConfigError> {
        let Self { bytes_per_s, delay, jitter, stalls, queue_bytes } = *self;
        if bytes_per_s.is_nan() || bytes_per_s < MIN_RATE {
            return Err(LinkConfigError::Rate { way, bytes_per_s });
        }
        if delay > MAX_DELAY {
            return Err(LinkConfigError::Delay { way, delay });
        }
        if jitter > delay {
            return Err(LinkConfigError::Jitter { way, jitter, delay });
        }
        if stalls.is_some_and(|stalls| !stalls.is_valid()) {
            return Err(LinkConfigError::Stalls { way });
        }
        if queue_bytes == Some(0) {
            return Err(LinkConfigError::Queue { way });
        }
        Ok(())
    }
}

impl LinkConfig {
    /// Rates times `hidden` / 4096: a token's hidden state then takes as long as a 7B model's does
    /// on the link itself.
    #[must_use]
    pub fn scaled(mut self, hidden: usize) -> Self {
        let factor = hidden as f64 / REFERENCE_HIDDEN as f64;
        self.up.bytes_per_s *= factor;
        self.down.bytes_per_s *= factor;
        self
    }

    /// The delays of both directions.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.up.delay + self.down.delay
    }

    /// # Errors
    /// When no link is like this.
    pub fn validate(&self) -> Result<(), LinkConfigError> {
        self.up.validate("up")?;
        self.down.validate("down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::StallRate;

    fn refused(direction: DirectionConfig) -> LinkConfigError {
        let config = LinkConfig { up: DirectionConfig::UNLIMITED, down: direction, seed: 0 };
        let error = config.validate();
        assert!(error.is_err(), "{direction:?}");
        error.err().unwrap_or(LinkConfigError::Queue { way: "neither" })
    }

    #[test]
    fn nonsense_is_refused() {
        let good = DirectionConfig::new(1e6, Duration::from_millis(3));
        for rate in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 0.5] {
            assert!(matches!(
                refused(DirectionConfig { bytes_per_s: rate, ..good }),
                LinkConfigError::Rate { way: "down", .. }
            ));
        }
        assert!(matches!(
            refused(DirectionConfig { delay: Duration::from_secs(61), ..good }),
            LinkConfigError::Delay { .. }
        ));
        assert!(matches!(
            refused(DirectionConfig { jitter: Duration::from_millis(4), ..good }),
            LinkConfigError::Jitter { .. }
        ));
        assert_eq!(
            refused(DirectionConfig { queue_bytes: Some(0), ..good }),
            LinkConfigError::Queue { way: "down" }
        );
        for (rate, duration) in
            [(0.0, 1), (f64::NAN, 1), (-1.0, 1), (1001.0, 1), (1.0, 0), (1.0, 61_000)]
        {
            for rate in [StallRate::PerSecond(rate), StallRate::PerMegabyte(rate)] {
                let stalls = Stalls { rate, duration: Duration::from_millis(duration) };
                assert_eq!(
                    refused(DirectionConfig { stalls: Some(stalls), ..good }),
                    LinkConfigError::Stalls { way: "down" }
                );
            }
        }
    }

    #[test]
    fn scaling_keeps_the_time_of_a_token() {
        let link = LinkConfig {
            up: DirectionConfig::new(7.5e6, Duration::ZERO),
            down: DirectionConfig::UNLIMITED,
            seed: 1,
        };
        let seconds = |config: &LinkConfig, hidden: f64| 2.0 * hidden / config.up.bytes_per_s;
        let small = link.clone().scaled(256);
        assert!((seconds(&small, 256.0) - seconds(&link, 4096.0)).abs() < 1e-12);
        assert!(small.down.is_unlimited());
    }
}
