//! Plans of a fleet: what its cloud, devices and links are like, and what breaks when.

use std::{ops::Range, time::Duration};

use proptest::{collection::vec, prelude::*};
use tricorn_core::{Schedule, SchedulerConfig, SessionConfig, SessionLimits};

use super::{
    client::{ClientPlan, TurnPlan},
    cloud::CloudPlan,
    link::Direction,
};
use crate::sessions::{
    interleavings::{VOCAB, config, model, options},
    model::Model,
};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) model: Model,
    pub(crate) cloud: CloudPlan,
    pub(crate) clients: Vec<ClientPlan>,
    pub(crate) mishaps: Vec<(Duration, Mishap)>,
    /// The most that a packet is held up, in milliseconds.
    pub(crate) jitter: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Mishap {
    /// A device's connection breaks on both sides.
    Drop(usize),
    /// The cloud ends a device's session and says so.
    Evict(usize),
    /// The cloud ends a device's session and nobody is told.
    Forget(usize),
    /// There is no memory for some sessions' rows.
    Refuse(usize),
    /// The next batch takes long.
    Stall(Duration),
    /// The cloud drains; another takes its place.
    Drain,
    /// The cloud is gone at once; another takes its place.
    Kill,
    /// The connection to a later stage breaks.
    LoseStage(usize),
}

fn ms(range: Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn us(range: Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_micros)
}

fn turn_plan() -> impl Strategy<Value = TurnPlan> {
    (0..=4_usize, vec(0..VOCAB, 0..24), options(), prop_oneof![Just(Duration::ZERO), ms(0..500)])
        .prop_map(|(kept_quarters, suffix, options, pause)| TurnPlan {
            kept_quarters,
            suffix,
            options,
            pause,
        })
}

fn direction() -> impl Strategy<Value = Direction> {
    (ms(0..100), us(0..20_000)).prop_map(|(delay, per_row)| Direction::new(delay, per_row))
}

fn client_plan() -> impl Strategy<Value = ClientPlan> {
    (vec(turn_plan(), 1..4), direction(), direction(), us(0..5_000), us(0..10_000)).prop_map(
        |(turns, up, down, shallow, draft)| ClientPlan { turns, up, down, shallow, draft },
    )
}

fn cloud_plan() -> impl Strategy<Value = CloudPlan> {
    let schedule = prop_oneof![3 => Just(Schedule::Chunked), 1 => Just(Schedule::Whole)];
    (schedule, 1..48_usize, ms(0..400), config(), 1..=3_usize, us(0..30_000), us(0..2_000))
        .prop_map(|(schedule, max_batch_rows, tbt_target, config, stages, base, per_row)| {
            let SessionConfig { context, max_append_rows, max_queued_rows, .. } = config;
            CloudPlan {
                scheduler: SchedulerConfig { schedule, max_batch_rows, tbt_target },
                limits: SessionLimits { context, max_append_rows, max_queued_rows },
                stages,
                base,
                per_row,
            }
        })
}

fn mishap() -> impl Strategy<Value = Mishap> {
    prop_oneof![
        4 => (0..4_usize).prop_map(Mishap::Drop),
        2 => (0..4_usize).prop_map(Mishap::Evict),
        1 => (0..4_usize).prop_map(Mishap::Forget),
        2 => (1..4_usize).prop_map(Mishap::Refuse),
        1 => ms(1..5_000).prop_map(Mishap::Stall),
        1 => Just(Mishap::Drain),
        1 => Just(Mishap::Kill),
        2 => (0..2_usize).prop_map(Mishap::LoseStage),
    ]
}

pub(crate) fn plan(mishaps: Range<usize>) -> impl Strategy<Value = Plan> {
    (
        model(),
        cloud_plan(),
        vec(client_plan(), 1..5),
        vec((ms(0..4_000), mishap()), mishaps),
        0..30_u64,
    )
        .prop_map(|(model, cloud, clients, mishaps, jitter)| Plan {
            model: Model { middle_layers: cloud.stages, ..model },
            cloud,
            clients,
            mishaps,
            jitter,
        })
}
