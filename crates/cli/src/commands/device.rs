//! `tricorn device`

use super::{allow_many_connections, local_middle, open, print_json};
use crate::{args::DeviceArgs, error::CliError, generate, log, ui};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::mpsc};
use tricorn_api::{CloudBehind, Limits, Service, ServiceConfig, serve};
use tricorn_core::DraftPolicy;
use tricorn_device::{
    CloudProbe, DeviceError, DeviceParts, Engine, EngineConfig, LocalTransport, Options, Prompter,
    RemoteConfig, RemoteTransport, SharedMonitor, engine::Offline,
};
use tricorn_model::BundlePart;

/// How long the cloud is given to say at the start what it serves.
const FIRST_LOOK: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &DeviceArgs) -> Result<(), CliError> {
    log::start(args.log);
    allow_many_connections();
    let runtime = generate::runtime()?;
    // The port first: that it is taken should not be learnt after gigabytes of weights.
    let listener = runtime
        .block_on(TcpListener::bind(args.listen))
        .map_err(|error| CliError::listen(args.listen, error))?;
    let address = listener.local_addr()?;
    let (source, split) = open(&args.model)?;
    source.expect_part(BundlePart::Device, split)?;
    let prompter = Arc::new(Prompter::load(&source)?);
    let parts = Arc::new(
        DeviceParts::load(&source, split, args.codec, args.drafter.drafting())?
            .with_kv(args.model.kv),
    );
    if args.offline_fallback == Offline::Draft && parts.drafter().is_none() {
        return Err(CliError::NoFallback);
    }
    let options = Options { monitor: Some(SharedMonitor::new()), ..Options::default() };
    let config = EngineConfig {
        slots: usize::from(args.slots),
        queue: args.queue,
        options,
        client_patience: Duration::from_secs_f64(args.client_patience),
        idle: Duration::from_secs_f64(args.idle),
        offline: args.offline_fallback,
        ..EngineConfig::default()
    };
    let draft =
        if args.drafter.no_draft { DraftPolicy::OFF } else { generate::draft_policy(&parts) };
    let probe = match &args.middle.cloud {
        Some(url) => {
            Some(CloudProbe::new(url, &parts, runtime.handle()).map_err(DeviceError::Transport)?)
        }
        None => None,
    };
    let engine = match &args.middle.cloud {
        Some(url) => {
            let remote = RemoteConfig {
                deadline: Duration::from_secs_f64(args.deadline),
                ..RemoteConfig::new(url)
            };
            let (device, handle) = (Arc::clone(&parts), runtime.handle().clone());
            Engine::start(
                parts,
                prompter,
                move || RemoteTransport::new(remote.clone(), &device, handle.clone()),
                config,
            )
        }
        None => {
            let middle = Arc::new(local_middle(&source, split)?);
            let (context, codec, kv) = (parts.context, parts.codec, args.model.kv);
            Engine::start(
                parts,
                prompter,
                move || LocalTransport::new(Arc::clone(&middle), context, codec).with_kv(kv),
                config,
            )
        }
    }
    .map_err(CliError::Start)?;
    let model = args.name.clone().unwrap_or_else(|| model_name(&args.model.model));
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    ctrlc::set_handler(move || {
        // Sending fails only when the endpoint is stopping already.
        let _ = stop.try_send(());
    })?;
    if args.json {
        print_json(&serde_json::json!({
            "event": "ready",
            "address": address.to_string(),
            "model": model,
            "fingerprint": source.fingerprint()?.to_hex(),
        }))?;
    } else {
        ui::print(format!("ready on http://{address}/v1: model {model}\n"))?;
    }
    if !address.ip().is_loopback() {
        log::warning(format_args!(
            "everybody who can reach {address} can use the endpoint, which asks for no key; see \
             that it is a network you trust"
        ));
    }
    // Requests wait for a cloud that comes later; that there is none, or the wrong one, is worth
    // knowing before the first.
    if let Some(probe) = probe.clone() {
        runtime.spawn(async move {
            if let Err(error) = probe.ask(FIRST_LOOK).await {
                log::warning(error);
            }
        });
    }
    let stop = async move {
        stopped.recv().await;
    };
    let offline = args.offline_fallback == Offline::Draft;
    let config = ServiceConfig {
        cloud: probe.map(|probe| CloudBehind { probe, offline_fallback: offline }),
        allowed_origins: args.allow_origin.clone(),
        allowed_hosts: args.allow_host.clone(),
        limits: Limits {
            request_deadline: args.request_deadline.map(Duration::from_secs_f64),
            ..Limits::default()
        },
        ..ServiceConfig::new(model, draft)
    };
    Ok(runtime.block_on(serve(listener, Service::new(engine, config), stop))?)
}

/// What a model is called whose path is all that is known: its folder's name, or its file's without
/// the ending.
fn model_name(path: &Path) -> String {
    let text = path.to_string_lossy();
    let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    let name = last.strip_suffix(".gguf").unwrap_or(last);
    if matches!(name, "" | "." | "..") { "model".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_called_by_the_last_part_of_their_path() {
        for (path, name) in [
            ("demo", "demo"),
            ("/models/Llama-3.2-1B/", "Llama-3.2-1B"),
            ("model-q4_k.gguf", "model-q4_k"),
            ("hf:org/Name-1.5", "Name-1.5"),
            ("hf:org/name:file.gguf", "file"),
            (".", "model"),
        ] {
            assert_eq!(model_name(Path::new(path)), name);
        }
    }
}
