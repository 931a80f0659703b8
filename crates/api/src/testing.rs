//! Test parts: a service with the demo model.
#![allow(clippy::unwrap_used, reason = "tests and fuzz targets end where they find nothing")]

use crate::{Service, ServiceConfig};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};
use tricorn_core::{DraftPolicy, HiddenCodec, Split};
use tricorn_device::{DeviceParts, Drafting, Engine, EngineConfig, LocalTransport, Prompter};
use tricorn_model::{MiddlePart, ModelSource};

/// A service that is asked for nothing.
pub(crate) fn service() -> Arc<Service> {
    static SERVICE: OnceLock<Arc<Service>> = OnceLock::new();
    let make = || {
        let source = Arc::new(
            ModelSource::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo"))
                .unwrap(),
        );
        let split: Split = "2:0".parse().unwrap();
        let parts =
            Arc::new(DeviceParts::load(&source, split, HiddenCodec::F16, Drafting::Best).unwrap());
        let prompter = Arc::new(Prompter::load(&source).unwrap());
        let middle = Arc::new(MiddlePart::load(&source, split).unwrap());
        let (context, codec) = (parts.context, parts.codec);
        let link = move || LocalTransport::new(Arc::clone(&middle), context, codec);
        let engine = Engine::start(
            parts,
            prompter,
            link,
            EngineConfig { slots: 1, ..EngineConfig::default() },
        )
        .unwrap();
        Arc::new(Service::new(engine, ServiceConfig::new("demo", DraftPolicy::default())))
    };
    Arc::clone(SERVICE.get_or_init(make))
}
