//! Fleet of devices with links, and a cloud of one or several stages, under a virtual clock: the
//! device sessions, the scheduler and the stage schedulers of the core together.

mod client;
mod cloud;
mod link;
mod plan;
mod stage;

use std::{collections::BTreeMap, mem, time::Duration};

use proptest::prelude::*;
use tricorn_core::{AppendHeader, SessionConfig, SessionLimits};

use crate::sessions::{device::Step, model::hash};
use client::Client;
use cloud::{Cloud, CloudEvent, CloudPlan, Heard};
use plan::{Mishap, Plan, plan};

/// Silence after which a device takes its connection for dead. Nothing but a mishap may take so
/// long.
const DEADLINE: Duration = Duration::from_secs(300);
/// The pause after a connection that was refused or ended.
const BACKOFF: Duration = Duration::from_millis(100);
/// No schedule needs so many events.
const MOST_EVENTS: usize = 400_000;

enum Event {
    /// A device is done with what it computed, or with a pause.
    Ready(usize),
    ToCloud {
        connection: u64,
        packet: Packet,
    },
    ToDevice {
        client: usize,
        connection: u64,
        heard: Heard,
    },
    Cloud {
        cloud: u64,
        event: CloudEvent,
    },
    /// It may be that a device has waited for too long.
    Silence {
        client: usize,
        connection: u64,
    },
    Mishap(Mishap),
}

enum Packet {
    Open,
    Append(AppendHeader, Vec<u64>),
    Close,
}

struct Fleet {
    now: Duration,
    queue: BTreeMap<(Duration, u64), Event>,
    /// Events so far.
    events: u64,
    clients: Vec<Client>,
    cloud: Cloud,
    /// Clouds and connections so far.
    clouds: u64,
    connections: u64,
    /// Whose connection is which.
    owners: BTreeMap<u64, usize>,
    /// Connections that nobody will hear from any more.
    silenced: Vec<u64>,
    plan: CloudPlan,
    jitter: u64,
}

impl Fleet {
    fn new(plan: Plan) -> Self {
        let SessionLimits { context, max_append_rows, max_queued_rows } = plan.cloud.limits;
        let output_layers = plan.model.output_layers;
        let config = SessionConfig { context, max_append_rows, max_queued_rows, output_layers };
        let client = |client| Client::new(plan.model.clone(), config, client);
        let mut fleet = Self {
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            events: 0,
            clients: plan.clients.into_iter().map(client).collect(),
            cloud: Cloud::new(plan.cloud),
            clouds: 1,
            connections: 0,
            owners: BTreeMap::new(),
            silenced: Vec::new(),
            plan: plan.cloud,
            jitter: plan.jitter,
        };
        for client in 0..fleet.clients.len() {
            fleet.ready_at(client, Duration::ZERO);
        }
        for (at, mishap) in plan.mishaps {
            fleet.push(at, Event::Mishap(mishap));
        }
        fleet
    }

    fn run(&mut self) {
        while let Some(((at, _), event)) = self.queue.pop_first() {
            assert!(at >= self.now);
            assert!(self.events < MOST_EVENTS as u64, "the turns never end");
            self.now = at;
            self.happens(event);
            self.cloud.poll(self.now);
            self.take_from_cloud();
            if self.cloud.is_drained() {
                self.replace_cloud();
            }
        }
        for client in &self.clients {
            assert!(client.is_done(), "a turn waits for ever: {:?}", client.device.session);
        }
        self.cloud.assert_nothing_is_owed();
    }

    fn push(&mut self, at: Duration, event: Event) {
        self.events += 1;
        self.queue.insert((at, self.events), event);
    }

    fn jitter(&self) -> Duration {
        Duration::from_millis(hash(self.events, self.connections) % (self.jitter + 1))
    }

    fn ready_at(&mut self, client: usize, at: Duration) {
        if !mem::replace(&mut self.clients[client].busy, true) {
            self.push(at, Event::Ready(client));
        }
    }

    fn send(&mut self, client: usize, at: Duration, packet: Packet) {
        let Some((connection, _)) = self.clients[client].connection else { return };
        let rows = if let Packet::Append(header, _) = &packet { header.rows } else { 0 };
        let jitter = self.jitter();
        let at = self.clients[client].up.arrival(at, rows, jitter);
        self.push(at, Event::ToCloud { connection, packet });
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ready(client) => {
                self.clients[client].busy = false;
                self.step(client);
            }
            Event::ToCloud { connection, packet } => match packet {
                Packet::Open => self.cloud.open(connection, self.now),
                Packet::Append(header, rows) => {
                    self.cloud.append(connection, header, rows, self.now);
                }
                Packet::Close => self.cloud.forget(connection),
            },
            Event::ToDevice { client, connection, heard } => {
                let own = self.clients[client].connection.is_some_and(|(own, _)| own == connection);
                if own {
                    let open = self.clients[client].hears(heard, self.now);
                    self.ready_at(client, self.now + if open { Duration::ZERO } else { BACKOFF });
                }
            }
            Event::Cloud { cloud, event } => {
                if cloud == self.clouds {
                    self.cloud.happens(event, self.now);
                }
            }
            Event::Silence { client, connection } => self.look_for_silence(client, connection),
            Event::Mishap(mishap) => self.mishap(mishap),
        }
    }

    /// A device does one thing.
    fn step(&mut self, index: usize) {
        let now = self.now;
        let client = &mut self.clients[index];
        if let Some(pause) = client.end_turn()
            && client.progress + pause > now
        {
            let at = client.progress + pause;
            return self.ready_at(index, at);
        }
        client.begin_turn(now);
        match client.device.step() {
            Step::Connect => {
                if client.connection.is_none() {
                    self.connections += 1;
                    let connection = self.connections;
                    client.dials(connection, now);
                    self.owners.insert(connection, index);
                    self.send(index, now, Packet::Open);
                    self.push(now + DEADLINE, Event::Silence { client: index, connection });
                }
            }
            Step::Append(header, rows) => {
                let computed = client.shallow * u32::try_from(header.rows).unwrap();
                client.sends(header, computed, now + computed);
                self.send(index, now + computed, Packet::Append(header, rows));
                self.ready_at(index, now + computed);
            }
            Step::Draft(branches) => {
                let time = client.draft;
                client.drafted(branches, time);
                self.ready_at(index, now + time);
            }
            Step::Idle => {
                if client.device.session.finished().is_some() && !client.is_done() {
                    self.ready_at(index, now);
                }
            }
        }
    }

    /// Passes on what the cloud says, to devices and to itself.
    fn take_from_cloud(&mut self) {
        let cloud = self.clouds;
        for (at, event) in mem::take(&mut self.cloud.events) {
            self.push(at, Event::Cloud { cloud, event });
        }
        for (connection, heard) in mem::take(&mut self.cloud.heard) {
            let client = self.owners[&connection];
            let rows = if let Heard::Deep { rows, .. } = &heard { rows.len() } else { 0 };
            let jitter = self.jitter();
            let at = self.clients[client].down.arrival(self.now, rows, jitter);
            self.push(at, Event::ToDevice { client, connection, heard });
        }
    }

    fn look_for_silence(&mut self, index: usize, connection: u64) {
        let client = &mut self.clients[index];
        if client.connection.is_none_or(|(own, _)| own != connection) || client.is_done() {
            return;
        }
        if client.waits() && client.progress + DEADLINE <= self.now {
            assert!(
                self.silenced.contains(&connection),
                "nobody answers: {:?}",
                client.device.session
            );
            return self.lose(index);
        }
        let next = self.now.max(client.progress) + DEADLINE;
        self.push(next, Event::Silence { client: index, connection });
    }

    /// A device's connection breaks.
    fn lose(&mut self, client: usize) {
        self.send(client, self.now, Packet::Close);
        self.clients[client].disconnected();
        self.ready_at(client, self.now + BACKOFF);
    }

    fn replace_cloud(&mut self) {
        self.cloud = Cloud::new(self.plan);
        self.clouds += 1;
    }

    fn mishap(&mut self, mishap: Mishap) {
        let connection = |client: usize| {
            let client = client % self.clients.len();
            (client, self.clients[client].connection.map(|(connection, _)| connection))
        };
        match mishap {
            Mishap::Drop(client) => {
                if let (client, Some(_)) = connection(client) {
                    self.lose(client);
                }
            }
            Mishap::Evict(client) => {
                if let (_, Some(connection)) = connection(client) {
                    self.cloud.fail(connection);
                }
            }
            Mishap::Forget(client) => {
                if let (_, Some(connection)) = connection(client) {
                    self.silenced.push(connection);
                    self.cloud.forget(connection);
                }
            }
            Mishap::Refuse(times) => self.cloud.trouble.refusals += times,
            Mishap::Stall(time) => self.cloud.stall += time,
            Mishap::Drain => self.cloud.drain(),
            Mishap::Kill => {
                self.silenced.extend(self.owners.keys());
                self.replace_cloud();
            }
            Mishap::LoseStage(stage) => {
                if self.cloud.stages() > 1 {
                    self.cloud.lose(1 + stage % (self.cloud.stages() - 1), self.now);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_the_links_and_the_load_every_turn_ends_in_the_reference_text(plan in plan(0..1)) {
        Fleet::new(plan).run();
    }

    #[test]
    fn whatever_breaks_every_turn_ends_in_the_reference_text(plan in plan(1..12)) {
        Fleet::new(plan).run();
    }
}
