//! Cloud processes: `tricorn cloud` as a child, with a deadline on everything it is asked.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    net::SocketAddr,
    ops::{Add, Range},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tricorn_core::{Cost, Schedule, Split};
use tricorn_kernels::KvFormat;

use crate::error::BenchError;

/// How long a cloud may take to read its weights and measure its own speed.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Lines that wait to be read; a cloud says two.
const LINES: usize = 16;

/// How clouds are started.
#[derive(Clone, Debug)]
pub struct CloudProgram {
    /// The `tricorn` binary.
    pub program: PathBuf,
    /// What its `--model` is given.
    pub model: OsString,
    /// Where the model is cut.
    pub split: Split,
    /// Threads for computing; the cloud's default where none is given.
    pub threads: Option<u16>,
    /// Format of its KV caches, and of those in this process.
    pub kv: KvFormat,
}

/// A cloud that serves. It ends when this value does, and also when this whole process does: it
/// watches the pipe to its standard input.
#[derive(Debug)]
pub struct CloudProcess {
    child: Child,
    lines: Receiver<String>,
    address: SocketAddr,
}

#[derive(Deserialize)]
struct Ready {
    address: SocketAddr,
}

/// What a cloud says of itself when it stops, or the sums over a chain of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct CloudEnd {
    /// Batches run.
    pub(crate) batches: u64,
    /// Of these, the ones that took longer than the throttle.
    pub(crate) overruns: u64,
}

impl Add for CloudEnd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { batches: self.batches + other.batches, overruns: self.overruns + other.overruns }
    }
}

impl CloudProgram {
    /// The arguments of a cloud for prompts of up to `context` rows in one append. `more` are
    /// appended as they are.
    fn arguments(
        &self,
        schedule: Schedule,
        context: usize,
        throttle: Option<Cost>,
        more: &[OsString],
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            vec!["cloud".into(), "--model".into(), self.model.clone()];
        let mut flag = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
        flag("--split", self.split.to_string());
        flag("--listen", "127.0.0.1:0".to_owned());
        flag("--kv", self.kv.to_string());
        flag("--schedule", schedule_name(schedule).to_owned());
        // A whole prompt is one append: u-shape's upload is not to be cut for the cloud's sake.
        flag("--max-append-rows", context.to_string());
        if let Some(Cost { base, per_row }) = throttle {
            flag("--emulate-pace", format!("{}:{}", base.as_micros(), per_row.as_micros()));
        }
        if let Some(threads) = self.threads {
            flag("--threads", threads.to_string());
        }
        arguments.extend(["--until-stdin-ends".into(), "--json".into()]);
        arguments.extend_from_slice(more);
        arguments
    }

    /// Starts a cloud with the whole middle on a free port and waits until it serves.
    ///
    /// # Errors
    /// When it cannot be started, says something else, or is not ready in time.
    pub(crate) fn start(
        &self,
        schedule: Schedule,
        context: usize,
        throttle: Option<Cost>,
    ) -> Result<CloudChain, BenchError> {
        Ok(CloudChain {
            head: self.spawn(&self.arguments(schedule, context, throttle, &[]))?,
            behind: None,
        })
    }

    /// Starts two clouds one behind the other, with the middle's layers below `cut` and the others.
    /// Each takes half of the throttle.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_two(
        &self,
        schedule: Schedule,
        context: usize,
        throttle: Option<Cost>,
        middle: &Range<usize>,
        cut: usize,
    ) -> Result<CloudChain, BenchError> {
        let half =
            throttle.map(|Cost { base, per_row }| Cost { base: base / 2, per_row: per_row / 2 });
        let layers = |range: Range<usize>| {
            [OsString::from("--layers"), format!("{}..{}", range.start, range.end).into()]
        };
        let behind =
            self.spawn(&self.arguments(schedule, context, half, &layers(cut..middle.end)))?;
        let next = [OsString::from("--next"), format!("http://{}", behind.address()).into()];
        let head = self.spawn(&self.arguments(
            schedule,
            context,
            half,
            &[layers(middle.start..cut), next].concat(),
        ))?;
        Ok(CloudChain { head, behind: Some(behind) })
    }

    fn spawn(&self, arguments: &[OsString]) -> Result<CloudProcess, BenchError> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        // Ctrl-C on the terminal is for this process, which lets devices finish first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        CloudProcess::spawn(&mut command)
    }
}

/// A middle: the cloud that devices connect to, and the one behind it where there is one. They end
/// in this order.
#[derive(Debug)]
pub(crate) struct CloudChain {
    head: CloudProcess,
    behind: Option<CloudProcess>,
}

impl CloudChain {
    /// Where devices connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.head.address()
    }

    /// Stops all and adds up what they have to say of themselves; none where one says nothing,
    /// since a part would look like the whole.
    pub(crate) fn stop(self) -> Option<CloudEnd> {
        let head = self.head.stop();
        match self.behind {
            None => head,
            Some(behind) => {
                let behind = behind.stop();
                Some(head? + behind?)
            }
        }
    }
}

impl CloudProcess {
    /// Runs `command`, a `tricorn cloud` with `--json` and `--until-stdin-ends`, and waits until it
    /// serves.
    ///
    /// # Errors
    /// When it cannot be started, says something else, or is not ready within a minute.
    pub fn spawn(command: &mut Command) -> Result<Self, BenchError> {
        let shown = shown(command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |reason: String| BenchError::Cloud { reason, command: shown.clone() };
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (heard, lines) = sync_channel(LINES);
        if let Some(stdout) = child.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if heard.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let mut cloud = Self { child, lines, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let line = cloud.lines.recv_timeout(START_LIMIT).map_err(|error| {
            match cloud.child.try_wait() {
                Ok(Some(status)) => failed(status.to_string()),
                _ => failed(format!("{error} after {START_LIMIT:?}")),
            }
        })?;
        cloud.address = serde_json::from_str::<Ready>(&line)
            .map_err(|_| failed(format!("it said `{line}`")))?
            .address;
        Ok(cloud)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it and hears what it has to say of itself.
    pub(crate) fn stop(mut self) -> Option<CloudEnd> {
        self.end();
        // The thread that reads the pipe hangs up at its end.
        std::iter::from_fn(|| self.lines.recv_timeout(STOP_LIMIT).ok())
            .filter_map(|line| serde_json::from_str(&line).ok())
            .last()
    }

    fn end(&mut self) {
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if asked.elapsed() > STOP_LIMIT {
                // It may have ended by itself just now.
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for CloudProcess {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `tricorn cloud --schedule` calls it.
pub(crate) const fn schedule_name(schedule: Schedule) -> &'static str {
    match schedule {
        Schedule::Whole => "whole",
        Schedule::Chunked => "chunked",
    }
}

/// A command line as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// A shell script in a cloud's place.
    fn script(text: &str) -> Result<CloudProcess, BenchError> {
        CloudProcess::spawn(Command::new("sh").args(["-c", text]).stderr(Stdio::null()))
    }

    #[test]
    fn it_ends_with_its_standard_input_and_says_what_it_did() {
        let ready = r#"{"event":"ready","address":"127.0.0.1:7","fingerprint":"x"}"#;
        let end = r#"{"event":"end","batches":12,"overruns":3}"#;
        let cloud = script(&format!("echo '{ready}'; cat >/dev/null; echo '{end}'")).unwrap();
        assert_eq!(cloud.address().port(), 7);
        assert_eq!(cloud.stop(), Some(CloudEnd { batches: 12, overruns: 3 }));
    }

    #[test]
    fn a_chain_tells_of_all_its_stages() {
        let stage = |end: &str| {
            script(&format!(r#"echo '{{"address":"127.0.0.1:7"}}'; cat >/dev/null; echo '{end}'"#))
                .unwrap()
        };
        let chain = |behind: &str| CloudChain {
            head: stage(r#"{"batches":12,"overruns":3}"#),
            behind: Some(stage(behind)),
        };
        assert_eq!(
            chain(r#"{"batches":12,"overruns":5}"#).stop(),
            Some(CloudEnd { batches: 24, overruns: 8 })
        );
        assert_eq!(chain("gone").stop(), None);
    }

    #[test]
    fn what_does_not_become_ready_is_an_error() {
        for (text, reason) in [("exit 3", "3"), ("echo hello; cat", "hello")] {
            let error = script(text).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("sh -c"), "{error}");
        }
        let program = CloudProgram {
            program: "/nowhere/tricorn".into(),
            model: "demo".into(),
            split: Split { input_layers: 2, output_layers: 0 },
            threads: None,
            kv: KvFormat::default(),
        };
        assert!(matches!(program.start(Schedule::Whole, 64, None), Err(BenchError::Cloud { .. })));
    }

    #[test]
    fn the_schedule_and_the_throttle_are_flags() {
        let program = CloudProgram {
            program: "tricorn".into(),
            model: "demo".into(),
            split: Split { input_layers: 2, output_layers: 0 },
            threads: Some(1),
            kv: KvFormat::Q8,
        };
        let throttle =
            Cost { base: Duration::from_millis(20), per_row: Duration::from_micros(400) };
        let arguments = program.arguments(Schedule::Chunked, 2048, Some(throttle), &[]);
        let text: Vec<_> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
        for pair in [
            ["--schedule", "chunked"],
            ["--max-append-rows", "2048"],
            ["--emulate-pace", "20000:400"],
            ["--threads", "1"],
            ["--kv", "q8"],
        ] {
            assert!(text.windows(2).any(|window| window == pair), "{pair:?} in {text:?}");
        }
    }
}
