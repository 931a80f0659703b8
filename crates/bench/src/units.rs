//! Numbers as reports write them.

use std::time::Duration;

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Milliseconds with as many digits as a reader can use.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Bytes in kB or MB.
pub(crate) fn bytes(count: f64) -> String {
    if count >= 1e6 {
        format!("{} MB", short(count / 1e6))
    } else {
        format!("{} kB", short(count / 1e3))
    }
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        assert_eq!(
            [0.0, 1.234, 9.999, 12.34, 99.96, 1234.5].map(short),
            ["0.00", "1.23", "10.0", "12.3", "100", "1234"]
        );
        assert_eq!(
            (bytes(1500.0), bytes(2_340_000.0), percent(0.414)),
            ("1.50 kB".into(), "2.34 MB".into(), "41 %".into())
        );
        assert_eq!(ms(Duration::from_micros(1500)), 1.5);
    }
}
