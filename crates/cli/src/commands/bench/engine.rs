//! `tricorn bench engine`

use super::{View, out};
use crate::{
    args::{EngineArgs, PeerName},
    commands::{open, print_json},
    error::CliError,
    ui,
};
use serde_json::json;
use std::ffi::OsStr;
use tricorn_bench::{
    BenchError,
    speed::{LlamaCpp, SpeedPlan, measure},
};
use tricorn_kernels::threads;

pub(super) fn run(args: &EngineArgs) -> Result<(), CliError> {
    let plan = SpeedPlan {
        prefill: args.prefill.clone(),
        rows: args.rows.clone(),
        decode: args.decode,
        rounds: args.rounds,
    };
    let (source, _) = open(&args.model)?;
    out::prepare(args.out.as_deref())?;
    let peer = match args.peer {
        Some(PeerName::LlamaCpp) => Some(llama_cpp(args)?),
        None => None,
    };
    let view = View::new(args.json, "measurements");
    let report = measure(&source, &plan, args.model.kv, peer, &view);
    view.finish();
    let report = report?;
    let printed = match args.json {
        true => print_json(&json!({ "bench": "engine", "report": report })),
        false => ui::print(report.text()).map_err(CliError::from),
    };
    if let Some(out) = &args.out {
        report.write(out)?;
        if !args.json && printed.is_ok() {
            ui::print(format!("the report is in {}\n", out.display()))?;
        }
    }
    printed
}

fn llama_cpp(args: &EngineArgs) -> Result<LlamaCpp, CliError> {
    let model = &args.model.model;
    if model.extension() != Some(OsStr::new("gguf")) {
        return Err(BenchError::PeerFormat { model: model.clone() }.into());
    }
    Ok(LlamaCpp::start(&args.python, model, threads::count(), args.model.kv)?)
}
