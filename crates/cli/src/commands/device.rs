//! `tricorn device`

use super::{local_middle, open};
use crate::{args::DeviceArgs, error::CliError, generate, ui};
use std::sync::Arc;
use tokio::{net::TcpListener, sync::mpsc};
use tricorn_api::{CloudAddress, Service, ServiceConfig, serve};
use tricorn_device::{Drafting, Ends, Engine, EngineConfig, LocalLink, Options, Prompter, RemoteConfig, RemoteLink, SharedMonitor};
use tricorn_model::source::BundlePart;

pub(crate) fn run(args: &DeviceArgs) -> Result<(), CliError> {
    let runtime = generate::runtime()?;
    // The port first: that it is taken should not be learnt after gigabytes of weights.
    let listener = runtime.block_on(TcpListener::bind(args.listen)).map_err(|error| CliError::Listen(args.listen, error))?;
    let address = listener.local_addr()?;
    let (source, split) = open(&args.model)?;
    source.expect_part(BundlePart::Device, split)?;
    let prompter = Arc::new(Prompter::load(&source)?);
    let ends = Arc::new(Ends::load(&source, split, args.codec, Drafting::Best)?.with_kv(args.model.kv));
    let options = Options { monitor: Some(SharedMonitor::new()), ..Options::default() };
    let config = EngineConfig { slots: args.slots, queue: args.queue, options, ..EngineConfig::default() };
    let draft = generate::draft_policy(&ends);
    let engine = match &args.middle.cloud {
        Some(url) => {
            let remote = RemoteConfig { deadline: std::time::Duration::from_secs_f64(args.deadline), ..RemoteConfig::new(url) };
            let (device, handle) = (Arc::clone(&ends), runtime.handle().clone());
            Engine::start(ends, prompter, move || RemoteLink::new(remote.clone(), &device, handle.clone()), config)
        }
        None => {
            let middle = Arc::new(local_middle(&source, split)?);
            let (context, codec, kv) = (ends.context, ends.codec, args.model.kv);
            Engine::start(ends, prompter, move || LocalLink::new(Arc::clone(&middle), context, codec).with_kv(kv), config)
        }
    }
    .map_err(CliError::Start)?;
    let model = args.model.model.file_stem().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    ctrlc::set_handler(move || {
        // Sending fails only when the endpoint is stopping already.
        let _ = stop.try_send(());
    })?;
    ui::print(format!("ready on http://{address}/v1: model {model}\n"))?;
    let stop = async move {
        stopped.recv().await;
    };
    let cloud = args.middle.cloud.as_deref().and_then(|url| CloudAddress::of(url, false));
    let config = ServiceConfig { cloud, ..ServiceConfig::new(model, draft) };
    Ok(runtime.block_on(serve(listener, Service::new(engine, config), stop))?)
}
