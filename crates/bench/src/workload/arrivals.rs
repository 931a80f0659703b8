//! Arrivals of requests: a Poisson process.

use std::time::Duration;

use super::rng::Rng;

/// The arrival times of `count` requests of a Poisson process at `rate` requests a second, from the
/// first one's, which is at 0.
pub(crate) fn poisson(rate: f64, count: usize, rng: &mut Rng) -> Vec<Duration> {
    let mut at = 0.0;
    (0..count)
        .map(|index| {
            if index > 0 {
                at += rng.exponential(1.0 / rate);
            }
            Duration::from_secs_f64(at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_the_seed_decides() {
        let times = poisson(4.0, 4001, &mut Rng::stream(7, 0));
        let span = times.last().unwrap().as_secs_f64();
        // 4,000 gaps of 250 ms with a relative deviation of 1/sqrt(4000): five of them are 8 %.
        assert!((span / 1000.0 - 1.0).abs() < 0.08, "{span}");
        assert!(times.is_sorted() && times[0] == Duration::ZERO);
        assert_eq!(times, poisson(4.0, 4001, &mut Rng::stream(7, 0)));
        assert_ne!(times, poisson(4.0, 4001, &mut Rng::stream(8, 0)));
    }

    #[test]
    fn gaps_vary_as_an_exponential_distribution_does() {
        let times = poisson(1.0, 4001, &mut Rng::stream(1, 0));
        let gaps: Vec<f64> =
            times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
        let above_mean = gaps.iter().filter(|&&gap| gap > 1.0).count() as f64 / gaps.len() as f64;
        assert!((above_mean - (-1.0_f64).exp()).abs() < 0.03, "{above_mean}");
    }
}
