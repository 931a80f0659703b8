//! Bytes through the emulator: the same ones, in order, whatever the link does. Timing decides
//! nothing here; `tricorn link --check` measures it.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};
use tricorn_netem::{
    Counters, DirectionConfig, Emulator, LinkConfig, LinkError, StallRate, Stalls,
};

/// Nothing here takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn both(direction: DirectionConfig) -> LinkConfig {
    LinkConfig { up: direction, down: direction, seed: 5 }
}

fn fast() -> LinkConfig {
    both(DirectionConfig::new(20e6, Duration::from_millis(1)))
}

struct Bench {
    link: Emulator,
    cloud: TcpListener,
}

impl Bench {
    fn new(config: LinkConfig) -> Self {
        let cloud = TcpListener::bind(LOOPBACK).unwrap();
        let link = Emulator::start(LOOPBACK, cloud.local_addr().unwrap(), config).unwrap();
        Self { link, cloud }
    }

    /// The device's end and the cloud's end of a new connection.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let device = TcpStream::connect(self.link.addr()).unwrap();
        let (cloud, _) = self.cloud.accept().unwrap();
        for end in [&device, &cloud] {
            end.set_read_timeout(Some(LIMIT)).unwrap();
            end.set_write_timeout(Some(LIMIT)).unwrap();
        }
        (device, cloud)
    }

    #[track_caller]
    fn wait_until(&self, what: &str, mut done: impl FnMut(Counters) -> bool) {
        let deadline = Instant::now() + LIMIT;
        while !done(self.link.counters()) {
            assert!(Instant::now() < deadline, "never {what}: {:?}", self.link.counters());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Bytes that tell where they belong; SplitMix64 of the position.
fn text(seed: u64, len: usize) -> Vec<u8> {
    (0..len as u64)
        .map(|index| {
            let z = (seed << 32 ^ index).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 56) as u8
        })
        .collect()
}

/// Writes `data` in pieces of many sizes, then ends the stream.
fn write_in_pieces(mut to: &TcpStream, data: &[u8], seed: u64) {
    let (mut rest, mut turn) = (data, seed);
    while !rest.is_empty() {
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let size = 1 << (turn >> 60);
        let (piece, after) = rest.split_at((size + (turn >> 40) as usize % size).min(rest.len()));
        to.write_all(piece).unwrap();
        rest = after;
    }
    to.shutdown(Shutdown::Write).unwrap();
}

fn read_all(mut from: &TcpStream) -> Vec<u8> {
    let mut data = Vec::new();
    from.read_to_end(&mut data).unwrap();
    data
}

fn exchange(device: &TcpStream, cloud: &TcpStream, up: &[u8], down: &[u8]) {
    thread::scope(|scope| {
        scope.spawn(|| write_in_pieces(device, up, 1));
        scope.spawn(|| write_in_pieces(cloud, down, 2));
        let at_cloud = scope.spawn(|| read_all(cloud));
        assert!(read_all(device) == down, "changed on the way down");
        assert!(at_cloud.join().unwrap() == up, "changed on the way up");
    });
}

#[test]
fn bytes_are_unchanged_both_ways_on_many_connections_at_once() {
    let rough = DirectionConfig {
        jitter: Duration::from_millis(1),
        stalls: Some(Stalls {
            rate: StallRate::PerMegabyte(4.0),
            duration: Duration::from_millis(5),
        }),
        queue_bytes: Some(20_000),
        ..DirectionConfig::new(20e6, Duration::from_millis(1))
    };
    for config in [fast(), both(rough), both(DirectionConfig::UNLIMITED)] {
        let bench = Bench::new(config);
        thread::scope(|scope| {
            for index in 0..8 {
                let (device, cloud) = bench.connect();
                scope.spawn(move || {
                    exchange(&device, &cloud, &text(index, 300_000), &text(100 + index, 200_001))
                });
            }
        });
        bench.wait_until("closed", |counters| counters.open == 0);
        let counters = bench.link.counters();
        assert_eq!(
            (counters.up.bytes, counters.down.bytes, counters.connections),
            (8 * 300_000, 8 * 200_001, 8)
        );
        assert_eq!((counters.up.held, counters.down.held), (0, 0));
    }
}

#[test]
fn one_direction_may_end_before_the_other() {
    let bench = Bench::new(fast());
    let (mut device, mut cloud) = bench.connect();
    device.write_all(b"question").unwrap();
    device.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&cloud), b"question");
    for _ in 0..3 {
        cloud.write_all(b"answer").unwrap();
        let mut answer = [0; 6];
        device.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
    assert_eq!(bench.link.counters().open, 1);
    drop(cloud);
    assert_eq!(read_all(&device), b"");
    bench.wait_until("closed", |counters| counters.open == 0);
}

#[test]
fn in_an_outage_nothing_passes_and_nothing_is_lost() {
    let bench = Bench::new(fast());
    let (device, cloud) = bench.connect();
    let (up, down) = (text(1, 2_000_000), text(2, 1_000_000));
    bench.link.outage(true);
    thread::scope(|scope| {
        scope.spawn(|| exchange(&device, &cloud, &up, &down));
        bench.wait_until("full", |counters| {
            counters.up.held > 500_000 && counters.down.held > 500_000
        });
        let counters = bench.link.counters();
        assert_eq!((counters.up.bytes, counters.down.bytes), (0, 0));
        // And again in the middle of the stream, wherever that is.
        for bytes in [1, 500_000, 1_000_000] {
            bench.link.outage(false);
            bench.wait_until("so far", |counters| counters.up.bytes >= bytes);
            bench.link.outage(true);
        }
        bench.link.outage(false);
    });
}

#[test]
fn a_new_configuration_counts_at_once() {
    // At this rate the text would take two days.
    let bench = Bench::new(both(DirectionConfig::new(10.0, Duration::from_millis(1))));
    let (device, cloud) = bench.connect();
    let (up, down) = (text(1, 2_000_000), text(2, 1_000_000));
    thread::scope(|scope| {
        scope.spawn(|| exchange(&device, &cloud, &up, &down));
        bench.wait_until("under way", |counters| counters.up.held > 0 && counters.down.held > 0);
        assert!(bench.link.set_config(both(DirectionConfig::new(0.0, Duration::ZERO))).is_err());
        bench.link.set_config(fast()).unwrap();
        bench.wait_until("half", |counters| counters.up.bytes > 1_000_000);
        bench.link.set_config(both(DirectionConfig::UNLIMITED)).unwrap();
    });
}

/// Writes until nothing more is taken and the link holds at least `least` bytes; returns how many
/// were written.
fn fill(link: &Emulator, to: &mut TcpStream, least: usize) -> usize {
    let deadline = Instant::now() + LIMIT;
    to.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    loop {
        match to.write(&[7; 16 << 10]) {
            Ok(count) => written += count,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                if link.counters().up.held >= least {
                    return written;
                }
                assert!(Instant::now() < deadline, "{:?} after {written} bytes", link.counters());
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn what_the_link_holds_is_bounded() {
    let queue = 100_000;
    // One block may be read when there is room for a byte.
    let block = 64 << 10;
    let limited =
        DirectionConfig { queue_bytes: Some(queue), ..DirectionConfig::new(50e6, Duration::ZERO) };
    let unlimited = DirectionConfig { queue_bytes: Some(queue), ..DirectionConfig::UNLIMITED };
    for direction in [limited, unlimited] {
        // Nothing passes.
        let bench = Bench::new(both(direction));
        let (mut device, cloud) = bench.connect();
        bench.link.outage(true);
        let written = fill(&bench.link, &mut device, queue);
        let held = bench.link.counters().up.held;
        assert!(held <= queue + block && written >= held, "{held} of {written}");
        bench.link.outage(false);
        device.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&cloud).len(), written);

        // The receiver does not read: as much again may lag there, and two reads on their way
        // between the two.
        let (mut device, cloud) = bench.connect();
        let written = fill(&bench.link, &mut device, queue);
        let held = bench.link.counters().up.held;
        assert!(held <= 2 * queue + 3 * block && written >= held, "{held} of {written}");
        device.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&cloud).len(), written);
    }
}

fn is_reset(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| {
        [ErrorKind::ConnectionReset, ErrorKind::ConnectionAborted, ErrorKind::BrokenPipe]
            .contains(&error.kind())
    })
}

#[test]
fn a_cloud_that_refuses_resets_the_device_and_the_next_may_come() {
    let vacant = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let link = Emulator::start(LOOPBACK, vacant, fast()).unwrap();
    let mut device = TcpStream::connect(link.addr()).unwrap();
    device.set_read_timeout(Some(LIMIT)).unwrap();
    assert!(is_reset(device.read(&mut [0])));
    assert_eq!((link.counters().open, link.counters().connections), (0, 1));
    let cloud = TcpListener::bind(vacant).unwrap();
    let device = TcpStream::connect(link.addr()).unwrap();
    let (cloud, _) = cloud.accept().unwrap();
    exchange(&device, &cloud, b"up", b"down");
}

#[test]
fn connections_can_be_reset_in_an_outage_and_new_ones_come() {
    let bench = Bench::new(fast());
    let (mut device, mut cloud) = bench.connect();
    bench.link.outage(true);
    device.write_all(b"lost").unwrap();
    bench.wait_until("held", |counters| counters.up.held == 4);
    bench.link.reset_connections();
    assert!(is_reset(device.read(&mut [0])) && is_reset(cloud.read(&mut [0])));
    bench.wait_until("gone", |counters| counters.open == 0 && counters.up.held == 0);
    bench.link.outage(false);
    let (device, cloud) = bench.connect();
    exchange(&device, &cloud, &text(3, 10_000), &text(4, 10_000));
}

#[test]
fn a_peer_that_is_gone_resets_the_other() {
    let bench = Bench::new(fast());
    let (mut device, mut cloud) = bench.connect();
    device.write_all(b"unread").unwrap();
    cloud.read_exact(&mut [0]).unwrap();
    // With bytes unread, closing resets.
    drop(cloud);
    assert!(is_reset(device.read(&mut [0])));
}

#[test]
fn dropping_the_link_ends_everything() {
    let bench = Bench::new(both(DirectionConfig::new(10.0, Duration::from_secs(1))));
    let (mut device, mut cloud) = bench.connect();
    device.write_all(b"never arrives").unwrap();
    bench.wait_until("held", |counters| counters.up.held > 0);
    let Bench { link, .. } = bench;
    let addr = link.addr();
    drop(link);
    assert!(device.read(&mut [0]).map_or(true, |count| count == 0));
    assert!(cloud.read(&mut [0]).map_or(true, |count| count == 0));
    assert!(TcpStream::connect(addr).is_err());
}

#[test]
fn what_cannot_be_started_is_told_in_one_line() {
    let taken = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let holder = TcpListener::bind(taken).unwrap();
    let start = |listen, config| Emulator::start(listen, taken, config).unwrap_err();
    let errors = [
        start(holder.local_addr().unwrap(), fast()),
        start(SocketAddr::from(([192, 0, 2, 1], 0)), fast()),
        start(LOOPBACK, both(DirectionConfig::new(-1.0, Duration::ZERO))),
    ];
    assert!(
        matches!(errors, [LinkError::InUse(_), LinkError::Listen { .. }, LinkError::Config(_)]),
        "{errors:?}"
    );
    assert!(errors.iter().all(|error| !error.to_string().contains('\n')));
}
