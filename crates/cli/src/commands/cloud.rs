//! `tricorn cloud`

use super::{allow_many_connections, open, print_json};
use crate::{args::CloudArgs, error::CliError, log, ui};
use std::{convert::Infallible, io::Read, ops::Range, time::Duration};
use tokio::sync::mpsc;
use tricorn_cloud::{Cloud, CloudConfig, Figures, MiddleModel, PooledMiddle, Served};
use tricorn_core::{FormatName, Formats, SessionLimits};
use tricorn_model::{BundlePart, KvPool, MiddlePart, ModelConfig};

/// Threads that serve streams and run small batches; for others the runtime adds one, and the model
/// computes on threads of its own.
const WORKERS: usize = 1;
/// How long the next stage may take before that is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// Connections to allow for a session: its own, and what is left of earlier ones.
const CONNECTIONS: usize = 8;

pub(crate) fn run(args: &CloudArgs) -> Result<(), CliError> {
    log::start(args.log);
    allow_many_connections();
    let (source, split) = open(&args.model)?;
    source.expect_part(BundlePart::Cloud, split)?;
    let config = config(args, source.config().context);
    let formats = Formats {
        weights: source.weights_format().and_then(FormatName::new),
        kv: FormatName::new(args.model.kv.name()),
    };
    let served = Served {
        fingerprint: source.fingerprint()?,
        split,
        layers: source.config().layers,
        formats,
    };
    let pool = KvPool::with_format(args.kv_memory.saturating_mul(1 << 20), args.model.kv);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(CliError::Start)?;
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    let on_signal = stop.clone();
    // Sending fails only when the cloud is stopping already.
    ctrlc::set_handler(move || {
        let _ = on_signal.try_send(());
    })?;
    if args.until_stdin_ends {
        std::thread::spawn(move || {
            let mut stdin = std::io::stdin();
            while matches!(stdin.read(&mut [0; 64]), Ok(count) if count > 0) {}
            let _ = stop.try_send(());
        });
    } else {
        // The signal handler keeps the channel open for the life of the process.
        drop(stop);
    }
    // The port first: that it is taken should not be learnt after gigabytes of weights.
    let mut cloud = Cloud::bind(config, served)?;
    cloud.warn_by(|line| log::warning(line));
    let (address, held) = (cloud.local_addr(), cloud.held());
    if let Some(needed) = missing_memory(args, source.config(), held.clone()) {
        log::warning(format_args!(
            "--kv-memory {} is too little for one session of the model's context of {} tokens, \
             which takes {needed} MiB",
            args.kv_memory,
            source.config().context
        ));
    }
    let middle = MiddlePart::load_layers(&source, split, held.clone())?;
    let weights = middle.bytes();
    let middle = PooledMiddle::new(middle, pool);
    let stages = runtime.block_on(async {
        tokio::select! {
            stages = cloud.connect_next(middle.hidden()) => stages.map(Some),
            _ = stopped.recv() => Ok(None),
            never = tell_of_wait(args.next.as_deref()) => match never {},
        }
    })?;
    let Some(stages) = stages else { return Ok(()) };
    // Whoever hears that it is ready should be answered at once.
    runtime.block_on(async { cloud.calibrate(&middle) });
    if args.json {
        print_json(&serde_json::json!({
            "event": "ready",
            "address": address.to_string(),
            "fingerprint": source.fingerprint()?.to_hex(),
            "split": split.to_string(),
            "layers": [held.start, held.end],
            "stages": stages,
        }))?;
    } else {
        let place = if address.ip().is_unspecified() {
            format!("port {} of every address", address.port())
        } else {
            format!("http://{address}")
        };
        let chain = match stages {
            1 => String::new(),
            2 => ", one stage behind".to_owned(),
            _ => format!(", {} stages behind", stages - 1),
        };
        ui::print(format!(
            "ready on {place}: layers {}..{} of {}{chain}, model {}, {} of weights\n",
            held.start,
            held.end,
            source.config().layers,
            source.fingerprint()?,
            ui::bytes(weights)
        ))?;
    }
    let Figures { batches, rows, overruns } =
        runtime.block_on(cloud.serve(middle, async move {
            stopped.recv().await;
        }))?;
    if args.json {
        print_json(&serde_json::json!({
            "event": "end", "batches": batches, "rows": rows, "overruns": overruns
        }))?;
    }
    Ok(())
}

/// MiB that one session over the whole context takes, where that is more than there is.
fn missing_memory(args: &CloudArgs, model: &ModelConfig, held: Range<usize>) -> Option<usize> {
    let needed =
        args.model.kv.bytes(model.context, model.block_layout(held).layers()).div_ceil(1 << 20);
    (needed > args.kv_memory).then_some(needed)
}

/// Whoever looks on should not wonder for long why nothing happens.
async fn tell_of_wait(next: Option<&str>) -> Infallible {
    tokio::time::sleep(PATIENCE).await;
    if let Some(next) = next {
        ui::note(format!("waiting for the next stage at {next}\n"));
    }
    std::future::pending().await
}

fn config(args: &CloudArgs, context: usize) -> CloudConfig {
    let defaults = CloudConfig::new(args.listen, context);
    // A longer append than the context can never be.
    let max_append_rows = args.max_append_rows.min(context);
    CloudConfig {
        max_sessions: args.max_sessions,
        max_connections: defaults
            .max_connections
            .max(args.max_sessions.saturating_mul(CONNECTIONS)),
        limits: SessionLimits {
            max_append_rows,
            max_queued_rows: defaults.limits.max_queued_rows.max(max_append_rows),
            ..defaults.limits
        },
        outbox_rows: defaults.outbox_rows.max(max_append_rows),
        batch_rows: args.batch_rows,
        schedule: args.schedule,
        tbt_target: Duration::from_secs_f64(args.tbt_target / 1000.0),
        throttle: args.emulate_pace,
        held: args.layers.clone(),
        next: args.next.clone(),
        next_deadline: Duration::from_secs_f64(args.next_deadline),
        ..defaults
    }
}
