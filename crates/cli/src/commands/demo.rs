//! `tricorn demo`

use super::{print_json, utf8};
use crate::{
    args::DemoArgs,
    bundled,
    error::CliError,
    generate::{self, Generated, Show, ms},
    ui,
};
use serde::Deserialize;
use std::{
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};
use tricorn_core::{ChunkPolicy, HiddenCodec, SamplingParams};
use tricorn_device::{Conversation, Drafting, Ends, Prompter, Turn};
use tricorn_model::{KvFormat, inspect::default_split, template::Message};

const DEADLINE: f64 = 30.0;
/// How long the cloud may take to get ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// The cloud's process, which ends with this value: it watches the pipe to its standard input.
struct CloudProcess {
    child: Child,
    url: String,
}

#[derive(Deserialize)]
struct Ready {
    address: String,
}

impl CloudProcess {
    fn start(kv: KvFormat) -> Result<Self, CliError> {
        let program = std::env::current_exe().map_err(CliError::Start)?;
        let mut child = Command::new(program)
            .args(["cloud", "--model", bundled::NAME, "--listen", "127.0.0.1:0", "--until-stdin-ends", "--json", "--kv", kv.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(CliError::Start)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        match serde_json::from_str::<Ready>(&line) {
            Ok(ready) => Ok(Self { child, url: format!("http://{}", ready.address) }),
            Err(_) => {
                drop(child.stdin.take());
                let status = child.wait()?;
                Err(CliError::DemoCloud(status.to_string()))
            }
        }
    }
}

impl Drop for CloudProcess {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_LIMIT {
                let _ = self.child.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(crate) fn run(args: &DemoArgs) -> Result<(), CliError> {
    let prompt = utf8(&args.prompt)?;
    let (started, cloud) = mpsc::channel();
    let kv = args.kv;
    // Sending fails only when this side has given up waiting.
    std::thread::spawn(move || drop(started.send(CloudProcess::start(kv))));
    let source = bundled::open(Path::new(bundled::NAME))?;
    let split = default_split(&source)?;
    let prompter = Prompter::load(&source)?;
    let tokens = prompter.chat(&[Message::new("user", prompt)])?;
    let ends = Ends::load(&source, split, HiddenCodec::default(), Drafting::Best)?.with_kv(args.kv);
    let cloud = cloud.recv_timeout(START_LIMIT).map_err(|_| CliError::DemoCloud(format!("not ready within {START_LIMIT:?}")))??;
    let colour = ui::shows_colour(&io::stdout());
    let layers = source.config().layers;
    let ranges = split.ranges(layers)?;
    if !args.json {
        let where_it_runs = format!(
            "Layers {}..{} of {layers} run in process {} ({}); the rest, and all text, stays here in process {}.",
            ranges.middle.start,
            ranges.middle.end,
            cloud.child.id(),
            cloud.url,
            std::process::id(),
        );
        ui::print(ui::faint(&where_it_runs, colour) + "\n")?;
        if colour {
            ui::print(format!("Tokens {} by this device and accepted are marked.\n", ui::drafted("drafted", colour)))?;
        }
        ui::print(format!("\n{}\n\n", ui::faint(&format!("> {prompt}"), colour)))?;
    }
    let turn = Turn {
        tokens,
        max_new_tokens: args.max_tokens,
        sampling: SamplingParams::greedy(),
        draft: generate::draft_policy(&ends),
        chunk: ChunkPolicy::Dynamic,
    };
    let runtime = generate::runtime()?;
    let mut conversation = Conversation::open(&ends, generate::remote(&cloud.url, DEADLINE, &ends, &runtime))?;
    let show = if args.json { Show::Nothing } else { Show::Stream };
    let generated = generate::run(&mut conversation, &prompter, &ends.stop_tokens, turn, show)?;
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
        format!("{:.2} ms mean, {:.2} ms p99 ({:.0} tokens/s)", ms(tbt), ms(report.tbt_quantile(0.99)), 1.0 / tbt.as_secs_f64().max(1e-9))
    };
    let rows = [
        ("tokens", format!("{tokens} ({} drafted here and accepted, {} drafted in all)", stats.accepted, stats.drafted)),
        ("time to first token", format!("{:.1} ms ({} prompt tokens)", ms(report.ttft), stats.prompt_tokens)),
        ("time between tokens", between),
        ("round trips", format!("{} ({:.2} tokens each)", stats.rounds, stats.accepted_per_round())),
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
