//! Units of reports: milliseconds, bytes, percentages.

use std::time::Duration;

pub(crate) use tricorn_plot::three_digits as short;

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
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
    fn units_are_chosen_by_size() {
        assert_eq!(
            (bytes(1500.0), bytes(2_340_000.0), percent(0.414)),
            ("1.50 kB".into(), "2.34 MB".into(), "41 %".into())
        );
        assert_eq!(ms(Duration::from_micros(1500)), 1.5);
    }
}
