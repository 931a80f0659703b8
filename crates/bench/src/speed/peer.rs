//! llama.cpp on the same file, in a Python process that has llama-cpp-python.

#[cfg(all(test, unix))]
mod tests;

use std::{
    ffi::OsStr,
    fmt,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tricorn_kernels::KvFormat;

use super::work::{Kind, Work};
use crate::{error::BenchError, figures, run::Observer};

/// Tokens of the prompt that settings are tried with.
const PROBE: usize = 256;

/// Prompts of fewer tokens are small batches, and set like them.
const PROMPT: usize = 32;

/// What the Python process runs.
const DRIVER: &str = include_str!("peer.py");

/// How llama.cpp is set; the one that is best for a kind of work is used for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Weights in its own layouts (`use_extra_bufts`), which helps small batches and may hurt
    /// prompts.
    pub repack: bool,
    /// Rows that it computes at once (`n_ubatch`).
    pub ubatch: usize,
    /// Fused attention (`flash_attn`).
    pub flash: bool,
}

impl Setting {
    pub(super) const CANDIDATES: [Self; 8] = [
        Self { repack: true, ubatch: 512, flash: false },
        Self { repack: true, ubatch: 512, flash: true },
        Self { repack: true, ubatch: 128, flash: false },
        Self { repack: true, ubatch: 128, flash: true },
        Self { repack: false, ubatch: 512, flash: false },
        Self { repack: false, ubatch: 512, flash: true },
        Self { repack: false, ubatch: 128, flash: false },
        Self { repack: false, ubatch: 128, flash: true },
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on = |on: bool| if on { "on" } else { "off" };
        write!(
            f,
            "n_ubatch {}, flash attention {}, repacking {}",
            self.ubatch,
            on(self.flash),
            on(self.repack)
        )
    }
}

/// What was compared with.
#[derive(Clone, Debug, Serialize)]
pub struct PeerInfo {
    /// Version of llama-cpp-python.
    pub version: String,
    /// Its best setting for prompts.
    pub prefill: Setting,
    /// Its best setting for one row a call.
    pub decode: Setting,
    /// Its best setting for several rows.
    pub verify: Setting,
}

/// A Python process with the model loaded; it ends with this value.
#[derive(Debug)]
pub struct LlamaCpp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    info: PeerInfo,
    kv: &'static str,
    positions: usize,
    open: Option<Setting>,
}

#[derive(Deserialize)]
struct Times {
    seconds: Vec<f64>,
}

impl LlamaCpp {
    /// Starts `python` and loads the GGUF file `model`, to compute with `threads` and a cache in
    /// the format `kv`.
    ///
    /// # Errors
    /// When there is no such program, it has no llama-cpp-python, or that does not load the model.
    pub fn start(
        python: &OsStr,
        model: &Path,
        threads: usize,
        kv: KvFormat,
    ) -> Result<Self, BenchError> {
        let python_name = python.to_string_lossy().into_owned();
        let spawned = Command::new(python)
            .args(["-u", "-c", DRIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| BenchError::NoPeer {
                python: python_name.clone(),
                reason: error.to_string(),
            });
        let mut child = spawned?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(BenchError::NoPeer {
                python: python_name,
                reason: "it has no standard input or output".to_owned(),
            });
        };
        let setting = Setting::CANDIDATES[0];
        // ggml's names.
        let kv = match kv {
            KvFormat::F16 => "F16",
            KvFormat::Q8 => "Q8_0",
            KvFormat::F32 => "F32",
        };
        let info =
            PeerInfo { version: String::new(), prefill: setting, decode: setting, verify: setting };
        let mut peer = Self {
            child,
            input,
            output: BufReader::new(output),
            info,
            kv,
            positions: 0,
            open: None,
        };
        let answer = peer
            .ask(json!({ "do": "load", "model": model.to_string_lossy(), "threads": threads }))?;
        if let Some(reason) = answer["missing"].as_str() {
            return Err(BenchError::NoPeer { python: python_name, reason: reason.to_owned() });
        }
        peer.info.version = answer["version"].as_str().unwrap_or("unknown").to_owned();
        Ok(peer)
    }

    /// Finds the best setting for each kind of work, in contexts of at least so many positions.
    pub(super) fn calibrate(
        &mut self,
        positions: usize,
        observer: &dyn Observer,
    ) -> Result<(), BenchError> {
        // What ggml pads to.
        self.positions = positions.max(2 * PROBE).next_multiple_of(256);
        // Decoding behind a prompt: settings differ in what attention costs.
        let kinds =
            [Work::prefill(PROBE), Work::decode(PROBE, 6), Work { calls: 3, ..Work::verify(8, 8) }];
        let mut best = [(f64::INFINITY, Setting::CANDIDATES[0]); 3];
        for setting in Setting::CANDIDATES {
            observer.measuring(&format!("llama.cpp, {setting}"));
            if self.choose(setting).is_ok() {
                self.timed(Work::prefill(16))?;
                for (best, work) in best.iter_mut().zip(kinds) {
                    let time = median(&self.timed(work)?);
                    if time < best.0 {
                        *best = (time, setting);
                    }
                }
            }
            observer.request_done();
        }
        let [(time, prefill), (_, decode), (_, verify)] = best;
        if time.is_infinite() {
            // None can be had: this says why.
            self.choose(prefill)?;
        }
        (self.info.prefill, self.info.decode, self.info.verify) = (prefill, decode, verify);
        Ok(())
    }

    /// Does a piece of work; the time of each of its calls.
    pub(super) fn run(&mut self, work: Work) -> Result<Vec<Duration>, BenchError> {
        self.choose(match work.kind {
            Kind::Prefill if work.rows >= PROMPT => self.info.prefill,
            Kind::Decode => self.info.decode,
            Kind::Prefill | Kind::Verify => self.info.verify,
        })?;
        self.timed(work)
    }

    pub(super) fn info(&self) -> PeerInfo {
        self.info.clone()
    }

    fn choose(&mut self, setting: Setting) -> Result<(), BenchError> {
        if self.open != Some(setting) {
            let Setting { repack, ubatch, flash } = setting;
            let (context, kv) = (self.positions, self.kv);
            self.ask(json!({
                "do": "open", "context": context, "repack": repack, "ubatch": ubatch,
                "flash": flash, "kv": kv,
            }))?;
            self.open = Some(setting);
        }
        Ok(())
    }

    fn timed(&mut self, work: Work) -> Result<Vec<Duration>, BenchError> {
        let starts: Vec<usize> = work.starts().collect();
        let answer = self.ask(
            json!({ "do": "work", "rows": work.rows, "starts": starts, "logits": work.logits() }),
        )?;
        let times: Times =
            serde_json::from_value(answer).map_err(|error| BenchError::Peer(error.to_string()))?;
        times
            .seconds
            .into_iter()
            .map(|time| {
                Duration::try_from_secs_f64(time)
                    .map_err(|error| BenchError::Peer(error.to_string()))
            })
            .collect()
    }

    fn ask(&mut self, command: Value) -> Result<Value, BenchError> {
        let ended =
            |error: &dyn fmt::Display| BenchError::Peer(format!("its process ended: {error}"));
        writeln!(self.input, "{command}")
            .and_then(|()| self.input.flush())
            .map_err(|error| ended(&error))?;
        let mut line = String::new();
        if self.output.read_line(&mut line).map_err(|error| ended(&error))? == 0 {
            return Err(ended(&"it gave no answer"));
        }
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| BenchError::Peer(format!("unexpected answer: {error}")))?;
        match answer["error"].as_str() {
            Some(error) => Err(BenchError::Peer(error.to_owned())),
            None => Ok(answer),
        }
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        // It may be computing, and would notice the end of its input only afterwards; one that has
        // ended already cannot be killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(times: &[Duration]) -> f64 {
    figures::median(times.iter().map(Duration::as_secs_f64)).unwrap_or(f64::INFINITY)
}
