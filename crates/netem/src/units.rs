//! Units: rates, times and sizes as a person writes them.

use std::time::Duration;

/// Text that cannot be read as a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number and a unit ({units}), for example {example}")]
pub struct UnitError {
    units: &'static str,
    example: &'static str,
}

const RATES: &[(&str, f64)] = &[
    ("B/s", 1.0),
    ("kB/s", 1e3),
    ("KB/s", 1e3),
    ("MB/s", 1e6),
    ("GB/s", 1e9),
    ("kbit/s", 1e3 / 8.0),
    ("Mbit/s", 1e6 / 8.0),
    ("Gbit/s", 1e9 / 8.0),
];
const TIMES: &[(&str, f64)] = &[("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
const SIZES: &[(&str, f64)] =
    &[("B", 1.0), ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("KiB", 1024.0), ("MiB", 1024.0 * 1024.0)];

/// A finite number of at least 0, in the base of its unit.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_alphabetic())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number
        .trim()
        .parse::<f64>()
        .ok()
        .map(|number| number * factor)
        .filter(|value| value.is_finite() && *value >= 0.0)
}

/// Bytes a second: `7.5MB/s`, `60Mbit/s`, or `unlimited`.
///
/// # Errors
/// When there is no number or no unit of a rate.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    if text == "unlimited" {
        return Ok(f64::INFINITY);
    }
    quantity(text, RATES).ok_or(UnitError {
        units: "B/s, kB/s, MB/s, GB/s, kbit/s, Mbit/s or Gbit/s",
        example: "7.5MB/s, or unlimited",
    })
}

/// A time: `6ms`, `1.5s`, `250us`.
///
/// # Errors
/// When there is no number or no unit of time.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    quantity(text, TIMES)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or(UnitError { units: "us, ms or s", example: "6ms" })
}

/// Bytes: `256KiB`, `1MB`.
///
/// # Errors
/// When there is no number or no unit of size.
pub fn parse_bytes(text: &str) -> Result<usize, UnitError> {
    quantity(text, SIZES)
        .map(|bytes| bytes as usize)
        .ok_or(UnitError { units: "B, kB, KiB, MB or MiB", example: "256KiB" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write() {
        assert_eq!(parse_rate("7.5MB/s"), Ok(7.5e6));
        assert_eq!(parse_rate("60 Mbit/s"), Ok(7.5e6));
        assert_eq!(parse_rate("unlimited"), Ok(f64::INFINITY));
        assert_eq!(parse_duration("6ms"), Ok(Duration::from_millis(6)));
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_bytes("256KiB"), Ok(256 << 10));
        for text in
            ["", "7.5", "MB/s", "-1MB/s", "1e999MB/s", "nanMB/s", "7.5MB", "7.5 apples", "6ms"]
        {
            assert!(
                parse_rate(text).is_err_and(|error| error.to_string().contains("7.5MB/s")),
                "{text}"
            );
        }
        for text in ["", "6", "ms", "-6ms", "1e30s", "6 min", "7.5MB/s"] {
            assert!(
                parse_duration(text).is_err_and(|error| error.to_string().contains("6ms")),
                "{text}"
            );
        }
        assert!(parse_bytes("256").is_err());
    }
}
