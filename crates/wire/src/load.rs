//! Load of a cloud, checked.

use tricorn_core::{CloudThroughput, DelayPoint};

use crate::{
    WireError,
    convert::{MOST, clamped_count, clamped_duration, micros, to_u64},
    proto,
};

/// Points of a batch delay that one message may hold.
const MOST_POINTS: usize = 32;

/// How busy and how fast a cloud is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Sessions now.
    pub sessions: u64,
    /// Sessions at a time.
    pub max_sessions: u64,
    /// Rows accepted and not yet computed, over all sessions.
    pub queued_rows: u64,
    /// What an append may expect. On arrival times are held to an hour and counts to 2^24; points
    /// of the delay beyond that are left out.
    pub throughput: CloudThroughput,
}

impl From<Load> for proto::Load {
    fn from(Load { sessions, max_sessions, queued_rows, throughput }: Load) -> Self {
        let point = |point: DelayPoint| proto::DelayPoint {
            rows: to_u64(point.rows),
            delay_us: micros(point.delay),
        };
        Self {
            sessions,
            max_sessions,
            queued_rows,
            prompt_wait_us: micros(throughput.prompt_wait),
            verify_wait_us: micros(throughput.verify_wait),
            batch_rows: to_u64(throughput.batch_rows),
            stages: to_u64(throughput.stages),
            prompt_rows: throughput.prompt_rows.map_or(0, to_u64),
            delay: throughput.delay.into_iter().map(point).collect(),
        }
    }
}

impl TryFrom<proto::Load> for Load {
    type Error = WireError;

    fn try_from(load: proto::Load) -> Result<Self, WireError> {
        let throughput = CloudThroughput {
            prompt_wait: clamped_duration(load.prompt_wait_us),
            verify_wait: clamped_duration(load.verify_wait_us),
            batch_rows: clamped_count(load.batch_rows),
            stages: clamped_count(load.stages).max(1),
            prompt_rows: Some(clamped_count(load.prompt_rows)).filter(|rows| *rows > 0),
            delay: points(&load.delay)?,
        };
        Ok(Self {
            sessions: load.sessions,
            max_sessions: load.max_sessions,
            queued_rows: load.queued_rows,
            throughput,
        })
    }
}

fn points(points: &[proto::DelayPoint]) -> Result<Vec<DelayPoint>, WireError> {
    if points.len() > MOST_POINTS {
        return Err(WireError::TooMany {
            field: "load.delay",
            found: points.len(),
            limit: MOST_POINTS,
        });
    }
    // Clamped, several of them would be of the same rows; no batch is as large.
    let known = points.iter().filter(|point| point.rows <= MOST);
    let points: Vec<DelayPoint> = known
        .map(|point| DelayPoint {
            rows: clamped_count(point.rows),
            delay: clamped_duration(point.delay_us),
        })
        .collect();
    match points
        .windows(2)
        .position(|pair| matches!(pair, [before, after] if before.rows >= after.rows))
    {
        Some(index) => Err(WireError::NotAscending { field: "load.delay", index: index + 1 }),
        None => Ok(points),
    }
}
