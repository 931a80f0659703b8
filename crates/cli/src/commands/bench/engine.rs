//! `tricorn bench engine`

use super::View;
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
    engine::{EnginePlan, LlamaCpp, measure},
};
use tricorn_model::threads;

pub(super) fn run(args: &EngineArgs) -> Result<(), CliError> {
    let plan = EnginePlan { prefill: args.prefill.clone(), rows: args.rows.clone(), decode: args.decode, rounds: args.rounds };
    let (source, _) = open(&args.model)?;
    let peer = match args.peer {
        Some(PeerName::LlamaCpp) => Some(llama_cpp(args)?),
        None => None,
    };
    let view = View::new(args.json, "measurements");
    let report = measure(&source, &plan, args.model.kv, peer, &view);
    view.finish();
    let report = report?;
    if let Some(out) = &args.out {
        report.write(out)?;
    }
    if args.json {
        return print_json(&json!({ "bench": "engine", "report": report }));
    }
    ui::print(report.text())?;
    if let Some(out) = &args.out {
        ui::print(format!("the report is in {}\n", out.display()))?;
    }
    Ok(())
}

fn llama_cpp(args: &EngineArgs) -> Result<LlamaCpp, CliError> {
    let model = &args.model.model;
    if model.extension() != Some(OsStr::new("gguf")) {
        return Err(BenchError::PeerFormat { model: model.clone() }.into());
    }
    Ok(LlamaCpp::start(&args.python, model, threads::count(), args.model.kv)?)
}
