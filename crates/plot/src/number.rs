//! Numbers as charts write them.

/// A number with three digits, which is as many as a reader can use: `0.25`, `12.3`, `1234`.
#[must_use]
pub fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number as an axis shows it: `0.5`, `1500`, `12k`, `3M`.
pub(crate) fn tick(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    format!("{}{unit}", (value * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        assert_eq!(
            [0.0, 1.234, 9.999, 12.34, 99.96, 1234.5].map(three_digits),
            ["0.00", "1.23", "10.0", "12.3", "100", "1234"]
        );
    }

    #[test]
    fn ticks_are_short() {
        assert_eq!(
            [0.0, 0.25, 1.2, 1500.0, 12_000.0, 250_000.0, 2_500_000.0].map(tick),
            ["0", "0.25", "1.2", "1500", "12k", "250k", "2.5M"]
        );
    }
}
