//! The protocol, against a program that speaks it without a model.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::run::Silent;
use std::{fs, os::unix::fs::PermissionsExt};
use tempfile::TempPath;

/// A shell script in the place of Python; it is removed with this value.
struct Script(TempPath);

impl Script {
    /// Answers each command as the `cases` of a shell's `case` statement say.
    fn new(cases: &str) -> Self {
        // A file that is open for writing cannot be run: only its path is kept.
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        fs::write(
            &file,
            format!("#!/bin/sh\nwhile read -r line; do case \"$line\" in\n{cases}\nesac; done\n"),
        )
        .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        Self(file)
    }

    fn start(&self) -> Result<LlamaCpp, BenchError> {
        LlamaCpp::start(self.0.as_os_str(), Path::new("model.gguf"), 2, KvFormat::F16)
    }
}

const LOAD: &str = r#"*'"do":"load"'*) echo '{"version": "1.2.3"}';;"#;

#[test]
fn each_kind_of_work_is_done_with_its_best_setting() {
    // Prompts are fastest without flash attention and 128 rows at once, everything else with it.
    let script = Script::new(&format!(
        r#"{LOAD}
        *'"do":"open"'*'"flash":true'*) flash=yes; ubatch=$line; echo '{{}}';;
        *'"do":"open"'*) flash=no; ubatch=$line; echo '{{}}';;
        *'"rows":256'*'"logits":1}}'*) case "$flash$ubatch" in
            no*'"ubatch":128'*) echo '{{"seconds": [1]}}';;
            *) echo '{{"seconds": [2]}}';; esac;;
        *) if [ $flash = yes ]; then echo '{{"seconds": [1, 1.5, 9]}}'
            else echo '{{"seconds": [3]}}'; fi;;"#
    ));
    let mut peer = script.start().unwrap();
    peer.calibrate(300, &Silent).unwrap();
    let info = peer.info();
    assert_eq!(info.version, "1.2.3");
    assert_eq!(info.prefill, Setting { repack: true, ubatch: 128, flash: false });
    let flash = Setting { repack: true, ubatch: 512, flash: true };
    assert_eq!((info.decode, info.verify), (flash, flash));
    assert_eq!(peer.run(Work::decode(8, 3)).unwrap(), [1.0, 1.5, 9.0].map(Duration::from_secs_f64));
    assert_eq!(peer.run(Work::prefill(256)).unwrap(), [Duration::from_secs(1)]);
}

#[test]
fn a_setting_that_cannot_be_had_is_left_out() {
    let script = Script::new(&format!(
        r#"{LOAD}
        *'"do":"open"'*'"flash":true'*) echo '{{}}';;
        *'"do":"open"'*) echo '{{"error": "needs flash attention"}}';;
        *) echo '{{"seconds": [1]}}';;"#
    ));
    let mut peer = script.start().unwrap();
    peer.calibrate(300, &Silent).unwrap();
    assert!(peer.info().prefill.flash && peer.info().decode.flash);

    let never = Script::new(&format!("{LOAD}\n*) echo '{{\"error\": \"no memory\"}}';;"));
    let error = never.start().unwrap().calibrate(300, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "llama.cpp failed (no memory); measure without --peer");
}

#[test]
fn what_is_missing_is_said() {
    let start = |python: &str| {
        LlamaCpp::start(OsStr::new(python), Path::new("model.gguf"), 2, KvFormat::F16).unwrap_err()
    };
    assert!(matches!(start("/nonexistent/python"), BenchError::NoPeer { .. }));
    let script = Script::new(r#"*) echo '{"missing": "No module named llama_cpp"}';;"#);
    let error = script.start().unwrap_err().to_string();
    assert!(
        error.contains("No module named llama_cpp")
            && error.contains("pip install")
            && error.contains("--python"),
        "{error}"
    );
}

#[test]
fn a_process_that_ends_or_talks_nonsense_is_an_error() {
    for (cases, said) in
        [("*) exit 3;;", "its process ended"), ("*) echo hello;;", "unexpected answer")]
    {
        let error = Script::new(cases).start().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let script = Script::new(&format!("{LOAD}\n*) echo '{{\"seconds\": [-1]}}';;"));
    assert!(matches!(script.start().unwrap().timed(Work::prefill(4)), Err(BenchError::Peer(_))));
}
