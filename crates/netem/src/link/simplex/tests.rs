use super::*;
use crate::link::{StallRate, Stalls};
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn arrivals_until(link: &mut SimplexLink<usize>, end: Duration) -> Vec<(Duration, usize)> {
    let mut all = Vec::new();
    while let Some(next) = link.next_arrival().filter(|next| *next <= end) {
        while let Some((arrival, payload)) = link.pop_arrival(next) {
            assert_eq!(arrival, next, "nothing arrives before it is announced");
            all.push((arrival, payload));
        }
    }
    all
}

fn arrived_by(link: &mut SimplexLink<usize>, now: Duration) -> Vec<usize> {
    std::iter::from_fn(|| link.pop_arrival(now)).map(|(_, payload)| payload).collect()
}

fn close(left: Duration, right: Duration) -> bool {
    left.abs_diff(right) <= Duration::from_nanos(100)
}

proptest! {
    /// However the bytes are cut and whenever the link is looked at, the last one arrives bytes /
    /// rate + delay after the first was offered.
    #[test]
    fn the_rate_is_exact_over_any_split(
        cuts in prop::collection::vec(1usize..5000, 1..300),
        looks in prop::collection::vec(0.0f64..1.0, 0..50),
        rate in 5e4f64..2e8,
        delay_us in 0u64..100_000,
    ) {
        let delay = Duration::from_micros(delay_us);
        let mut link = SimplexLink::new(DirectionConfig::new(rate, delay), 0, MS);
        for (index, bytes) in cuts.iter().enumerate() {
            link.offer(MS, *bytes, index);
        }
        let total: usize = cuts.iter().sum();
        let expected = MS + Duration::from_secs_f64(total as f64 / rate) + delay;
        let mut looks: Vec<_> =
            looks.into_iter().map(|share| expected.mul_f64(share).max(MS)).collect();
        looks.sort();
        let mut arrived = Vec::new();
        for look in looks {
            arrived.extend(arrived_by(&mut link, look));
        }
        let rest = arrivals_until(&mut link, Duration::MAX);
        let last = rest.last();
        prop_assert!(last.is_none_or(|(last, _)| close(*last, expected)), "{last:?} {expected:?}");
        arrived.extend(rest.into_iter().map(|(_, index)| index));
        prop_assert_eq!(arrived, (0..cuts.len()).collect::<Vec<_>>());
        prop_assert_eq!(link.held_bytes(), 0);
    }

    /// A change of the rate, and an outage, in the middle of a packet and of a queue.
    #[test]
    fn a_change_counts_for_what_was_not_transmitted(
        packets in 1usize..100,
        share in 0.0f64..1.0,
        outage_ms in 0u64..1000,
        first in 5e4f64..2e8,
        second in 5e4f64..2e8,
    ) {
        let total = packets * 1500;
        let mut link = SimplexLink::new(DirectionConfig::new(first, 3 * MS), 0, Duration::ZERO);
        for index in 0..packets {
            link.offer(Duration::ZERO, 1500, index);
        }
        let change = Duration::from_secs_f64(total as f64 / first * share);
        let back = change + outage_ms as u32 * MS;
        link.set_outage(change, true);
        prop_assert_eq!(link.next_arrival(), None);
        link.set_config(change, DirectionConfig::new(second, 7 * MS));
        link.set_outage(back, false);
        let rest = total as f64 - change.as_secs_f64() * first;
        let expected = back + Duration::from_secs_f64(rest.max(0.0) / second) + 7 * MS;
        let all = arrivals_until(&mut link, Duration::MAX);
        prop_assert_eq!(all.len(), packets);
        let last = all.last().map(|(last, _)| *last).unwrap_or_default();
        prop_assert!(last.abs_diff(expected) < Duration::from_micros(1), "{last:?} {expected:?}");
    }

    /// Jitter stays in its range, around the delay, and reorders nothing.
    #[test]
    fn jitter_is_bounded(seed: u64, gaps in prop::collection::vec(0u64..20_000, 1..200)) {
        // So fast that a packet's own transmission does not count.
        let direction = DirectionConfig { jitter: 5 * MS, ..DirectionConfig::new(1e12, 8 * MS) };
        let mut link = SimplexLink::new(direction, seed, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut all = Vec::new();
        let mut offered = Vec::new();
        for (index, gap) in gaps.iter().enumerate() {
            now += Duration::from_micros(*gap);
            all.extend(arrivals_until(&mut link, now));
            link.offer(now, 1000, index);
            offered.push(now);
        }
        all.extend(arrivals_until(&mut link, Duration::MAX));
        for (index, (arrival, payload)) in all.iter().enumerate() {
            prop_assert_eq!(*payload, index);
            let delay = *arrival - offered[index];
            let range = 3 * MS..=13 * MS + Duration::from_micros(1);
            prop_assert!(range.contains(&delay), "{:?}", delay);
        }
        prop_assert_eq!(all.len(), gaps.len());
    }
}

#[test]
fn jitter_is_even_about_the_delay() {
    let direction = DirectionConfig { jitter: 5 * MS, ..DirectionConfig::new(1e12, 8 * MS) };
    let mut link = SimplexLink::new(direction, 3, Duration::ZERO);
    let count = 4000;
    let total: Duration = (0..count)
        .map(|index| {
            let offered = index as u32 * 50 * MS;
            link.offer(offered, 1, index);
            arrivals_until(&mut link, Duration::MAX)
                .iter()
                .map(|(arrival, _)| *arrival - offered)
                .sum::<Duration>()
        })
        .sum();
    assert!((total / count as u32).abs_diff(8 * MS) < MS / 5, "{total:?}");
}

fn stalled(rate: StallRate) -> (Duration, Vec<Duration>) {
    let stalls = Stalls { rate, duration: 40 * MS };
    let mut link = SimplexLink::new(
        DirectionConfig { stalls: Some(stalls), ..DirectionConfig::new(1e6, Duration::ZERO) },
        11,
        Duration::ZERO,
    );
    // Fifty seconds' worth.
    (0..50_000).for_each(|index| {
        link.offer(Duration::ZERO, 1000, index);
    });
    let times: Vec<_> =
        arrivals_until(&mut link, Duration::MAX).into_iter().map(|(time, _)| time).collect();
    (times[times.len() - 1], times)
}

#[test]
fn stalls_come_as_often_as_asked_and_last_as_long() {
    for rate in [StallRate::PerSecond(4.0), StallRate::PerMegabyte(4.0)] {
        let (last, times) = stalled(rate);
        // About 200 stalls of 40 ms; the standard deviation of their number is 14.
        let stalls = (last - Duration::from_secs(50)).as_secs_f64() / 0.04;
        assert!((150.0..250.0).contains(&stalls), "{rate:?}: {stalls}");
        let gaps: Vec<_> =
            times.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 2 * MS).collect();
        assert!(!gaps.is_empty() && gaps.iter().all(|gap| *gap > 40 * MS), "{rate:?}");
        assert_eq!(stalled(rate).1, times, "the seed repeats them");
    }
}

#[test]
fn a_stall_that_began_while_idle_holds_back_what_comes() {
    let stalls = Stalls { rate: StallRate::PerSecond(1000.0), duration: Duration::from_secs(60) };
    let mut link = SimplexLink::new(
        DirectionConfig { stalls: Some(stalls), ..DirectionConfig::new(1e6, Duration::ZERO) },
        1,
        Duration::ZERO,
    );
    link.offer(Duration::from_secs(1), 1, 0);
    let arrival = link.next_arrival().unwrap_or_default();
    assert!((Duration::from_secs(60)..Duration::from_secs(61)).contains(&arrival), "{arrival:?}");
}

#[test]
fn room_comes_when_a_quarter_of_the_queue_has_left() {
    let direction =
        DirectionConfig { queue_bytes: Some(10_000), ..DirectionConfig::new(1e6, 20 * MS) };
    let mut link = SimplexLink::new(direction, 0, Duration::ZERO);
    for index in 0..10 {
        assert!(link.has_room());
        link.offer(Duration::ZERO, 1000, index);
    }
    assert!(!link.has_room() && !link.has_ample_room());
    assert_eq!(link.ample_room_at(), Some(Duration::from_micros(2500)));
    assert!(arrived_by(&mut link, 3 * MS).is_empty());
    assert!(link.has_ample_room());
    assert_eq!(link.held_bytes(), 10_000, "nothing has arrived");
}

#[test]
fn without_a_rate_what_is_under_way_fills_the_queue() {
    let direction =
        DirectionConfig { queue_bytes: Some(3000), ..DirectionConfig::new(f64::INFINITY, 5 * MS) };
    let mut link = SimplexLink::new(direction, 0, Duration::ZERO);
    (0..3).for_each(|index| {
        link.offer(Duration::ZERO, 1000, index);
    });
    assert!(!link.has_room());
    assert_eq!(arrivals_until(&mut link, 5 * MS).len(), 3);
    assert!(link.has_room());
}

#[test]
fn an_outage_holds_back_what_is_in_the_air() {
    let mut link = SimplexLink::new(DirectionConfig::new(1e6, 10 * MS), 0, Duration::ZERO);
    link.offer(Duration::ZERO, 1000, 7);
    link.set_outage(5 * MS, true);
    assert!(arrived_by(&mut link, 100 * MS).is_empty());
    link.set_outage(200 * MS, false);
    assert_eq!(arrived_by(&mut link, 200 * MS), [7]);
}

#[test]
fn what_is_discarded_takes_no_time() {
    let mut link = SimplexLink::new(DirectionConfig::new(1e6, Duration::ZERO), 0, Duration::ZERO);
    [1, 1, 2].into_iter().for_each(|connection| {
        link.offer(Duration::ZERO, 1000, connection);
    });
    link.discard(Duration::ZERO, |connection| *connection == 1);
    assert_eq!(link.held_bytes(), 1000);
    assert_eq!(arrivals_until(&mut link, Duration::MAX), [(MS, 2)]);
}

#[test]
fn an_idle_line_saves_up_no_rate() {
    let mut link = SimplexLink::new(DirectionConfig::new(1e6, 2 * MS), 0, Duration::ZERO);
    for (offered, arrival) in [(0, 3), (500, 503), (501, 504)] {
        link.offer(offered * MS, 1000, 0);
        assert_eq!(link.next_arrival(), Some(arrival * MS));
        assert_eq!(arrivals_until(&mut link, Duration::MAX), [(arrival * MS, 0)]);
    }
}
