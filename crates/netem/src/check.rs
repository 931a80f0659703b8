//! The check of an emulator: its rates and round trip, measured against its configuration.

use crate::{
    emulator::{Emulator, LinkError},
    link::{DirectionConfig, LinkConfig},
};
use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Share of the asked rate by which the measured one may differ.
pub const RATE_TOLERANCE: f64 = 0.03;
/// Time by which the median round trip may differ.
pub const DELAY_TOLERANCE: Duration = Duration::from_millis(1);

const PINGS: usize = 41;
/// How long a rate is measured, after a warm-up in which the sockets' buffers fill.
const MEASURED: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(200);
/// No answer by then, beyond the link's own delay, is a failure.
const PATIENCE: Duration = Duration::from_secs(10);
const BLOCK: usize = 64 << 10;

/// A rate in bytes a second, asked and measured; `asked` is infinite where there is no limit.
#[derive(Clone, Copy, Debug)]
pub struct RateReport {
    /// The configuration's.
    pub asked: f64,
    /// With nothing in the other direction.
    pub alone: f64,
    /// With the other direction full too.
    pub both_ways: f64,
}

/// What [`check`] found.
#[derive(Clone, Copy, Debug)]
pub struct LinkReport {
    /// From the device to the cloud.
    pub up: RateReport,
    /// From the cloud to the device.
    pub down: RateReport,
    /// Round trip that was asked for, in seconds.
    pub rtt_asked: f64,
    /// Median round trip of one byte, in seconds.
    pub rtt_median: f64,
}

impl RateReport {
    /// The larger of the two differences, as a share of the asked rate; 0 where there is no limit.
    #[must_use]
    pub fn error(&self) -> f64 {
        if self.asked.is_infinite() {
            return 0.0;
        }
        [self.alone, self.both_ways]
            .into_iter()
            .map(|measured| (measured / self.asked - 1.0).abs())
            .fold(0.0, f64::max)
    }
}

impl LinkReport {
    /// Whether the link is what was asked for, within [`RATE_TOLERANCE`] and [`DELAY_TOLERANCE`].
    #[must_use]
    pub fn passes(&self) -> bool {
        let delay_error = (self.rtt_median - self.rtt_asked).abs();
        self.up.error() <= RATE_TOLERANCE
            && self.down.error() <= RATE_TOLERANCE
            && delay_error <= DELAY_TOLERANCE.as_secs_f64()
    }
}

/// Measures an emulated link of this configuration, without its jitter and stalls, in about five
/// seconds and some round trips.
///
/// # Errors
/// When the link cannot be started, or a measurement fails.
pub fn check(config: &LinkConfig) -> Result<LinkReport, LinkError> {
    let plain = |direction: DirectionConfig| DirectionConfig {
        jitter: Duration::ZERO,
        stalls: None,
        ..direction
    };
    let config = LinkConfig { up: plain(config.up), down: plain(config.down), seed: config.seed };
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let cloud = TcpListener::bind(loopback).map_err(LinkError::Check)?;
    let emulator =
        Emulator::start(loopback, cloud.local_addr().map_err(LinkError::Check)?, config.clone())?;
    measure(&Rig { emulator, cloud, config }).map_err(LinkError::Check)
}

/// A link without jitter and stalls, and a listener in the place of the cloud.
struct Rig {
    emulator: Emulator,
    cloud: TcpListener,
    config: LinkConfig,
}

impl Rig {
    /// Both ends of a new connection through the link: the device's and the cloud's.
    fn connect(&self) -> io::Result<(TcpStream, TcpStream)> {
        let device = TcpStream::connect(self.emulator.addr())?;
        let deadline = Instant::now() + self.patience();
        self.cloud.set_nonblocking(true)?;
        let cloud = loop {
            match self.cloud.accept() {
                Ok((cloud, _)) => break cloud,
                Err(error)
                    if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(error) => return Err(error),
            }
        };
        cloud.set_nonblocking(false)?;
        for end in [&device, &cloud] {
            end.set_nodelay(true)?;
            end.set_read_timeout(Some(self.patience()))?;
            end.set_write_timeout(Some(self.patience()))?;
        }
        Ok((device, cloud))
    }

    fn patience(&self) -> Duration {
        PATIENCE + self.config.rtt()
    }
}

fn measure(rig: &Rig) -> io::Result<LinkReport> {
    let rtt_median = median_rtt(rig)?;
    let (device, cloud) = rig.connect()?;
    let up = rate(device, cloud)?;
    let (device, cloud) = rig.connect()?;
    let down = rate(cloud, device)?;
    let (to_up, to_down) = (rig.connect()?, rig.connect()?);
    let (up_of_both, down_of_both) = thread::scope(|scope| {
        let up = scope.spawn(move || rate(to_up.0, to_up.1));
        let down = rate(to_down.1, to_down.0);
        (up.join().unwrap_or_else(|_| Err(io::Error::other("the measuring thread panicked"))), down)
    });
    Ok(LinkReport {
        up: RateReport { asked: rig.config.up.bytes_per_s, alone: up, both_ways: up_of_both? },
        down: RateReport {
            asked: rig.config.down.bytes_per_s,
            alone: down,
            both_ways: down_of_both?,
        },
        rtt_asked: rig.config.rtt().as_secs_f64(),
        rtt_median,
    })
}

/// Median round trip of one byte, in seconds.
fn median_rtt(rig: &Rig) -> io::Result<f64> {
    let (mut device, mut cloud) = rig.connect()?;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut byte = [0];
            // Ends when the device's end is closed.
            while cloud.read_exact(&mut byte).and_then(|()| cloud.write_all(&byte)).is_ok() {}
        });
        let mut times = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            let sent = Instant::now();
            device.write_all(&[1])?;
            device.read_exact(&mut [0])?;
            times.push(sent.elapsed().as_secs_f64());
        }
        drop(device);
        times.sort_by(f64::total_cmp);
        Ok(times.get(PINGS / 2).copied().unwrap_or_default())
    })
}

/// Bytes a second that arrive at `to` while `from` writes all it can.
fn rate(mut from: TcpStream, to: TcpStream) -> io::Result<f64> {
    thread::scope(|scope| {
        // Ends when `to` is closed, which resets the connection.
        scope.spawn(move || while from.write_all(&[0x5a; BLOCK]).is_ok() {});
        arrivals(to)
    })
}

fn arrivals(mut to: TcpStream) -> io::Result<f64> {
    let mut block = vec![0; BLOCK];
    let mut read = || match to.read(&mut block) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        other => other,
    };
    read()?;
    let began = Instant::now();
    while began.elapsed() < WARM_UP {
        read()?;
    }
    let (began, mut bytes) = (Instant::now(), 0);
    loop {
        bytes += read()?;
        let elapsed = began.elapsed();
        if elapsed >= MEASURED {
            return Ok(bytes as f64 / elapsed.as_secs_f64());
        }
    }
}
