//! The engine's figures as metrics.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use std::fmt;
use tricorn_device::engine::{Figures, Histogram};

/// Figures as they were at a moment.
#[derive(Debug)]
pub(super) struct EngineFigures(pub(super) Figures);

impl Collector for EngineFigures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let figures = &self.0;
        let gauges = [
            ("requests_running", "Requests that a slot works on", figures.running),
            ("requests_waiting", "Requests that wait for a slot", figures.waiting),
            ("conversations", "Slots that hold a conversation", figures.conversations),
            ("kv_bytes", "Bytes of KV caches on the device", figures.kv_bytes),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        let counters = [
            ("requests_done", "Generations that ended as they should", figures.done),
            ("requests_failed", "Generations that failed", figures.failed),
            (
                "requests_cancelled",
                "Generations whose client went away or did not keep up",
                figures.cancelled,
            ),
            ("requests_refused", "Generations refused because too many waited", figures.refused),
            (
                "requests_offline",
                "Generations that the device's drafter answered in part or whole",
                figures.offline,
            ),
            ("prompt_tokens", "Tokens of prompts", figures.prompt_tokens),
            (
                "cached_tokens",
                "Tokens of prompts that were neither computed nor uploaded again",
                figures.cached_tokens,
            ),
            ("completion_tokens", "Tokens generated", figures.completion_tokens),
            ("rounds", "Verification rounds", figures.rounds),
            ("drafted_tokens", "Tokens drafted", figures.drafted),
            ("accepted_tokens", "Drafts that the model agreed with", figures.accepted),
            (
                "lost_connections",
                "Connections to the cloud that were lost",
                figures.lost_connections,
            ),
            ("bytes_up", "Bytes sent to the cloud", figures.bytes_up),
            ("bytes_down", "Bytes received from the cloud", figures.bytes_down),
        ];
        for (name, help, value) in counters {
            ConstCounter::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Counter,
            )?)?;
        }
        histogram(
            &mut encoder,
            "ttft_seconds",
            "Time to first token, from the submission",
            &figures.ttft,
        )?;
        histogram(&mut encoder, "tbt_seconds", "Time between tokens", &figures.tbt)
    }
}

fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    histogram: &Histogram,
) -> fmt::Result {
    // The encoder sums the buckets up, and they come as sums.
    let mut below = 0;
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    for (bound, sum) in histogram.buckets() {
        buckets.push((bound, sum - below));
        below = sum;
    }
    buckets.push((f64::MAX, histogram.count() - below));
    encoder
        .encode_descriptor(name, help, None, MetricType::Histogram)?
        .encode_histogram::<NoLabelSet>(histogram.sum(), histogram.count(), &buckets, None)
}
