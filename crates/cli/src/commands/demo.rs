//! `tricorn demo`

use super::{print_json, utf8};
use crate::{
    args::DemoArgs,
    bundled,
    error::CliError,
    generate::{self, Generated, Show, ms},
    ui,
};
use std::{io, path::Path, process::Command};
use tricorn_bench::CloudProcess;
use tricorn_core::{ChunkPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{Conversation, DeviceParts, Drafting, Prompter, Turn};
use tricorn_kernels::KvFormat;
use tricorn_model::default_split;
use tricorn_text::template::Message;

const DEADLINE: f64 = 30.0;

/// The cloud of the demo; it ends when standard input does, so with this process at the latest.
fn start_cloud(kv: KvFormat) -> Result<CloudProcess, CliError> {
    let mut command = Command::new(std::env::current_exe().map_err(CliError::Start)?);
    command.args([
        "cloud",
        "--model",
        bundled::NAME,
        "--listen",
        "127.0.0.1:0",
        "--until-stdin-ends",
        "--json",
        "--kv",
        kv.name(),
    ]);
    Ok(CloudProcess::spawn(&mut command)?)
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), CliError> {
    let prompt = utf8(&args.prompt)?;
    let kv = args.kv;
    let cloud = std::thread::spawn(move || start_cloud(kv));
    let source = bundled::open(Path::new(bundled::NAME))?;
    let split = default_split(&source)?;
    let prompter = Prompter::load(&source)?;
    let tokens = prompter.chat(&[Message::new("user", prompt)])?;
    let parts =
        DeviceParts::load(&source, split, HiddenCodec::default(), Drafting::Best)?.with_kv(kv);
    let cloud = cloud.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    let url = format!("http://{}", cloud.address());
    let colour = ui::shows_colour(&io::stdout());
    let layers = source.config().layers;
    let ranges = split.ranges(layers)?;
    if !args.json {
        let where_it_runs = format!(
            "Layers {}..{} of {layers} run in process {} ({}); the rest, and all text, stays here \
             in process {}.",
            ranges.middle.start,
            ranges.middle.end,
            cloud.id(),
            url,
            std::process::id(),
        );
        ui::print(ui::faint(&where_it_runs, colour) + "\n")?;
        if colour {
            ui::print(format!(
                "Tokens {} by this device and accepted are marked.\n",
                ui::drafted("drafted", colour)
            ))?;
        }
        ui::print(format!("\n{}\n\n", ui::faint(&format!("> {prompt}"), colour)))?;
    }
    let turn = Turn {
        tokens,
        max_new_tokens: args.max_tokens,
        sampling: SamplingParams::greedy(),
        constraint: None,
        logprobs: None,
        draft: generate::draft_policy(&parts),
        chunk: ChunkPolicy::Dynamic,
    };
    let runtime = generate::runtime()?;
    let mut conversation =
        Conversation::open(&parts, generate::remote(&url, DEADLINE, &parts, &runtime))?;
    let show = if args.json { Show::Nothing } else { Show::Stream };
    let generated = generate::run(&mut conversation, &prompter, &parts.stop_tokens, turn, show)?;
    if args.json { print_json(&generated.json()) } else { summarise(&generated) }
}

fn summarise(generated: &Generated) -> Result<(), CliError> {
    let report = &generated.report;
    let stats = &report.stats;
    let tokens = report.token_ids.len();
    let per_token = |bytes: u64| bytes as f64 / tokens.max(1) as f64;
    let tbt = report.tbt_mean();
    let between = if report.gaps.is_empty() {
        "-".to_owned()
    } else {
        format!(
            "{:.2} ms mean, {:.2} ms p99 ({:.0} tokens/s)",
            ms(tbt),
            ms(report.tbt_quantile(0.99)),
            1.0 / tbt.as_secs_f64().max(1e-9)
        )
    };
    let rows = [
        (
            "tokens",
            format!(
                "{tokens} ({} drafted here and accepted, {} drafted in all)",
                stats.accepted, stats.drafted
            ),
        ),
        (
            "time to first token",
            format!("{:.1} ms ({} prompt tokens)", ms(report.ttft), stats.prompt_tokens),
        ),
        ("time between tokens", between),
        (
            "round trips",
            format!("{} ({:.2} tokens each)", stats.rounds, stats.accepted_per_round()),
        ),
        (
            "on the wire",
            format!(
                "{} up, {} down ({:.0} + {:.0} bytes a token); not one of them text",
                ui::bytes(report.bytes_up as usize),
                ui::bytes(report.bytes_down as usize),
                per_token(report.bytes_up),
                per_token(report.bytes_down)
            ),
        ),
    ];
    Ok(ui::print(format!("\n{}\n", ui::table(&rows)))?)
}
