//! Groups of requests that belong together, and which one is next among them.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

/// A group of requests that are parts of one, such as the choices of one call: while others wait,
/// they share what one request would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(u64);

impl Group {
    /// One of its own, unlike every other of this process.
    #[must_use]
    pub fn unique() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The next of those that wait, given in the order in which they came: of the group with the
/// fewest running the oldest, and of groups alike the one whose oldest waits for longest. Those of
/// a group stay in order, and none starves: a group with nothing running gives way to older ones
/// only.
pub(super) fn next(
    waiting: impl IntoIterator<Item = Group>,
    running: impl IntoIterator<Item = Group>,
) -> Option<usize> {
    let mut counts: HashMap<Group, usize> = HashMap::new();
    running.into_iter().for_each(|group| *counts.entry(group).or_default() += 1);
    let count = |group: &Group| counts.get(group).copied().unwrap_or_default();
    // The first of several least ones is taken.
    waiting.into_iter().enumerate().min_by_key(|(_, group)| count(group)).map(|(index, _)| index)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// Slots and a queue; every job is its group and a number in the order of arrival.
    struct World {
        slots: usize,
        running: VecDeque<(Group, usize)>,
        waiting: Vec<(Group, usize)>,
        given: Vec<(Group, usize)>,
        arrived: usize,
    }

    impl World {
        fn new(slots: usize) -> Self {
            Self {
                slots,
                running: VecDeque::new(),
                waiting: Vec::new(),
                given: Vec::new(),
                arrived: 0,
            }
        }

        fn arrive(&mut self, group: Group) {
            self.waiting.push((group, self.arrived));
            self.arrived += 1;
            self.give();
        }

        /// Ends the one that runs for longest.
        fn end_one(&mut self) {
            self.running.pop_front();
            self.give();
        }

        fn give(&mut self) {
            while self.running.len() < self.slots {
                let Some(index) = next(groups(&self.waiting), groups(&self.running)) else {
                    return;
                };
                let job = self.waiting.remove(index);
                self.running.push_back(job);
                self.given.push(job);
            }
        }
    }

    fn groups<'a>(
        jobs: impl IntoIterator<Item = &'a (Group, usize)>,
    ) -> impl Iterator<Item = Group> {
        jobs.into_iter().map(|(group, _)| *group)
    }

    #[test]
    fn a_single_request_does_not_wait_for_all_of_a_large_one() {
        let mut world = World::new(4);
        (0..32).for_each(|_| world.arrive(Group(0)));
        world.arrive(Group(1));
        world.end_one();
        assert_eq!(
            world.given.last(),
            Some(&(Group(1), 32)),
            "the next slot that gets free is its own"
        );
        world.end_one();
        assert_eq!(world.given.last(), Some(&(Group(0), 4)), "the large one goes on in order");
    }

    #[test]
    fn groups_of_one_are_served_as_they_came() {
        let mut world = World::new(2);
        (0..20).for_each(|group| world.arrive(Group(group)));
        (0..18).for_each(|_| world.end_one());
        assert_eq!(
            world.given.iter().map(|(_, number)| *number).collect::<Vec<_>>(),
            (0..20).collect::<Vec<_>>()
        );
    }

    proptest! {
        #[test]
        fn order_within_a_group_is_kept(
            slots in 1_usize..5,
            events in prop::collection::vec(prop::option::of(0_u64..6), 1..200),
        ) {
            let mut world = World::new(slots);
            for event in events {
                match event {
                    Some(group) => world.arrive(Group(group)),
                    None => world.end_one(),
                }
                let busy = world.waiting.is_empty() || world.running.len() == slots;
                prop_assert!(busy, "no slot is idle while one waits");
            }
            for group in 0..6 {
                let given = world.given.iter().filter(|(of, _)| *of == Group(group));
                let order: Vec<usize> = given.map(|(_, number)| *number).collect();
                prop_assert!(order.is_sorted(), "{order:?}");
            }
        }

        #[test]
        fn nobody_starves(
            slots in 1_usize..5,
            first in prop::collection::vec(0_u64..6, 1..40),
            rivals in prop::collection::vec(0_u64..9, 1..20),
        ) {
            let mut world = World::new(slots);
            first.iter().for_each(|&group| world.arrive(Group(group)));
            // As one ends another comes, for ever, of a group that is new, or of one that is there
            // already.
            let bound = first.len() * (slots + first.len());
            for (turn, &rival) in (0_u64..).zip(rivals.iter().cycle()).take(bound) {
                world.arrive(Group(if rival < 6 { rival } else { 6 + turn }));
                world.end_one();
            }
            let left: Vec<_> =
                world.waiting.iter().filter(|(_, number)| *number < first.len()).collect();
            prop_assert!(left.is_empty(), "{left:?}");
        }

        #[test]
        fn a_slot_goes_to_a_group_with_the_fewest_running(
            slots in 1_usize..8,
            sizes in prop::collection::vec(1_usize..30, 2..6),
        ) {
            let mut world = World::new(slots);
            // All slots are busy with one that is then over, so that all others wait from the
            // start.
            (0..slots).for_each(|_| world.arrive(Group(u64::MAX)));
            for (group, &size) in (0..).zip(&sizes) {
                (0..size).for_each(|_| world.arrive(Group(group)));
            }
            for _ in 0..slots + sizes.iter().sum::<usize>() {
                world.end_one();
                let running = |group| world.running.iter().filter(|(of, _)| *of == group).count();
                let waiting = |group| world.waiting.iter().any(|(of, _)| *of == group);
                let last = world.given.last().unwrap().0;
                for other in (0..sizes.len() as u64).map(Group).filter(|&other| waiting(other)) {
                    prop_assert!(running(last) <= running(other) + 1, "{last:?} before {other:?}");
                }
            }
        }
    }
}
