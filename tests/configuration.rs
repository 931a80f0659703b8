//! File, environment and flags; `tricorn config`, completions and manual; models from a hub by
//! name.

use crate::support::TempDir;
use std::{
    path::PathBuf,
    process::{Command, Output},
};

/// A home folder of its own for each test.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new())
    }

    fn config(&self, text: &str) -> PathBuf {
        let path = self.0.file("config.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, with nothing of the user's own environment that it reads.
    fn tricorn(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tricorn"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRICORN_")
                || name.to_string_lossy().starts_with("HF_")
            {
                command.env_remove(name);
            }
        }
        command.env("HOME", self.0.path()).env_remove("XDG_CONFIG_HOME");
        command
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let line = text(&output.stderr);
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    line
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = Folder::new();
    let config =
        folder.config("model = 'demo'\nmax-tokens = 3\n[run]\nlocal = true\nmax-tokens = 4");
    let generated = |set: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = folder.tricorn();
        command.args(["run", "--json", "A dragon.", "--config"]).arg(&config);
        let output = set(&mut command).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        line["token_ids"].as_array().unwrap().len()
    };
    assert_eq!(generated(&|command| command), 4);
    assert_eq!(generated(&|command| command.env("TRICORN_MAX_TOKENS", "5")), 5);
    assert_eq!(
        generated(&|command| command.env("TRICORN_MAX_TOKENS", "5").args(["--max-tokens", "6"])),
        6
    );
    assert_eq!(generated(&|command| command.env("TRICORN_MAX_TOKENS", "")), 4);
}

#[test]
fn every_value_is_shown_with_where_it_came_from() {
    let folder = Folder::new();
    let config = folder.config("model = 'demo'\n[device]\nlocal = true\nslots = 2");
    let mut command = folder.tricorn();
    command.env("TRICORN_QUEUE", "7").args(["config", "--json", "--config"]).arg(&config).args([
        "device",
        "--listen",
        "127.0.0.1:0",
    ]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let device = &shown["device"];
    for (name, value, from) in [
        ("model", "demo", config.to_str().unwrap()),
        ("local", "true", config.to_str().unwrap()),
        ("slots", "2", config.to_str().unwrap()),
        ("queue", "7", "environment TRICORN_QUEUE"),
        ("listen", "127.0.0.1:0", "flag"),
        ("kv", "f16", "default"),
    ] {
        assert_eq!(
            (device[name]["value"].as_str(), device[name]["from"].as_str()),
            (Some(value), Some(from)),
            "{name}"
        );
    }
    assert_eq!(device["split"]["from"], "not set");
}

#[test]
fn what_is_shown_is_a_file_that_comes_to_the_same() {
    let folder = Folder::new();
    let first = folder.config("[device]\nmodel = 'demo'\ncloud = 'http://127.0.0.1:1'\nslots = 3");
    let show = |config: &PathBuf| {
        text(
            &folder
                .tricorn()
                .args(["config", "device", "--config"])
                .arg(config)
                .output()
                .unwrap()
                .stdout,
        )
    };
    let shown = show(&first);
    let again = show(&folder.config(&shown));
    let values = |shown: &str| {
        shown
            .lines()
            .map(|line| line.split("  #").next().unwrap().trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&shown));
    assert!(shown.contains("slots = 3"), "{shown}");
}

#[test]
fn a_choice_in_the_file_gives_way_to_the_other_on_the_command_line() {
    let folder = Folder::new();
    let config = folder.config("[device]\nmodel = 'demo'\nlocal = true");
    let output = folder
        .tricorn()
        .args(["config", "--json", "device", "--cloud", "http://a:1", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (cloud, local) = (&shown["device"]["cloud"], &shown["device"]["local"]);
    assert_eq!(
        (cloud["value"].as_str(), cloud["from"].as_str()),
        (Some("http://a:1"), Some("flag"))
    );
    assert_eq!(
        (local["value"].as_str(), local["from"].as_str()),
        (Some("false"), Some("gave way to --cloud"))
    );
}

#[test]
fn the_users_own_file_is_found() {
    let folder = Folder::new();
    let own = folder.0.file("conf");
    std::fs::create_dir_all(own.join("tricorn")).unwrap();
    std::fs::write(own.join("tricorn").join("config.toml"), "[run]\nseed = 9").unwrap();
    let mut command = folder.tricorn();
    if cfg!(target_os = "linux") {
        let output = command.env("XDG_CONFIG_HOME", &own).args(["config", "run"]).output().unwrap();
        assert!(text(&output.stdout).contains("seed = 9"), "{}", text(&output.stdout));
    }
}

#[test]
fn mistakes_in_the_file_are_one_line_that_names_file_and_key() {
    let folder = Folder::new();
    for (content, expected) in [
        ("[device]\nslotz = 1", "slotz"),
        ("[device]\nslots = 'many'", "device.slots"),
        ("model = [", "config.toml"),
    ] {
        let config = folder.config(content);
        let line =
            refused(&folder.tricorn().args(["device", "--config"]).arg(&config).output().unwrap());
        assert!(line.contains(expected) && line.contains("config.toml"), "{line}");
    }
    let line = refused(
        &folder.tricorn().args(["run", "--config", "/nowhere/config.toml", "x"]).output().unwrap(),
    );
    assert!(line.contains("/nowhere/config.toml"), "{line}");
    let line = refused(
        &folder
            .tricorn()
            .env("TRICORN_SLOTS", "many")
            .args(["device", "--model", "demo", "--local"])
            .output()
            .unwrap(),
    );
    assert!(
        line.contains("TRICORN_SLOTS") && line.contains("many") && line.contains("--slots"),
        "{line}"
    );
}

#[test]
fn what_the_command_refuses_is_refused_when_it_is_shown() {
    let folder = Folder::new();
    for (variable, flags, expected) in [
        (None, &["--nope"][..], "--nope"),
        (None, &["--slots", "0"], "--slots"),
        (None, &["--local", "--cloud", "http://a:1"], "cannot be used with"),
        (Some(("TRICORN_SLOTS", "abc")), &[], "environment TRICORN_SLOTS: invalid value 'abc'"),
        (
            Some(("TRICORN_LOCAL", "maybe")),
            &[],
            "environment TRICORN_LOCAL: invalid value 'maybe'; write true or false",
        ),
        (Some(("TRICORN_CONFIG", "/nowhere.toml")), &[], "/nowhere.toml"),
    ] {
        let mut said =
            [&["config", "device"][..], &["device", "--model", "demo", "--listen", "127.0.0.1:0"]]
                .map(|command| {
                    let mut program = folder.tricorn();
                    refused(&program.envs(variable).args(command).args(flags).output().unwrap())
                });
        said.iter().for_each(|line| assert!(line.contains(expected), "{line}"));
        let [shown, run] = &mut said;
        assert_eq!(shown, run);
    }
}

#[test]
fn lists_are_shown_as_lists_wherever_they_came_from() {
    let folder = Folder::new();
    let list = "allow-origin = [\"http://a:1\", \"http://b:2\"]";
    let show = |set: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = folder.tricorn();
        let output =
            set(command.args(["config", "device", "--model", "demo", "--local"])).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let shown = show(&|command| {
        command.args(["--allow-origin", "http://a:1,http://b:2", "--allow-host", "x,y"])
    });
    assert!(shown.contains(list) && shown.contains("allow-host = [\"x\", \"y\"]"), "{shown}");
    assert!(
        show(&|command| command.env("TRICORN_ALLOW_ORIGIN", "http://a:1,http://b:2"))
            .contains(list)
    );
    for file in [
        shown,
        "[device]\nallow-origin = 'http://a:1,http://b:2'\nallow-host = ['x', 'y']".to_owned(),
    ] {
        let config = folder.config(&file);
        let again = show(&|command| command.arg("--config").arg(&config));
        assert!(again.contains(list) && again.contains("allow-host = [\"x\", \"y\"]"), "{again}");
    }
    let config = folder.config("allow-host = ['x']\n[device]\nallow-host = []");
    assert!(show(&|command| command.arg("--config").arg(&config)).contains("# allow-host ="));
}

#[test]
fn switches_of_the_environment_are_yes_or_no_in_the_usual_words() {
    let folder = Folder::new();
    let config = folder.config("[device]\nmodel = 'demo'\nlocal = true");
    for (word, value) in [
        ("1", "true"),
        ("true", "true"),
        ("yes", "true"),
        ("0", "false"),
        ("false", "false"),
        ("no", "false"),
    ] {
        let mut command = folder.tricorn();
        let output = command
            .env("TRICORN_LOCAL", word)
            .args(["config", "--json", "device", "--config"])
            .arg(&config)
            .output()
            .unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let local = &shown["device"]["local"];
        assert_eq!(
            (local["value"].as_str(), local["from"].as_str()),
            (Some(value), Some("environment TRICORN_LOCAL")),
            "{word}"
        );
    }
    // One that is off stands in nobody's way.
    let mut command = folder.tricorn();
    let output = command
        .env("TRICORN_LOCAL", "0")
        .args(["config", "device", "--cloud", "http://a:1"])
        .output()
        .unwrap();
    assert!(text(&output.stdout).contains("cloud = \"http://a:1\""), "{}", text(&output.stderr));
}

#[test]
fn a_choice_in_the_environment_gives_way_to_a_flag_and_wins_over_the_file() {
    let folder = Folder::new();
    let shown = |variables: &[(&str, &str)], flags: &[&str], file: &str| {
        let config = folder.config(file);
        let mut command = folder.tricorn();
        command
            .envs(variables.iter().copied())
            .args(["config", "--json", "device"])
            .args(flags)
            .arg("--config")
            .arg(&config);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ["cloud", "local"].map(|name| shown["device"][name].clone())
    };
    let [cloud, local] = shown(&[("TRICORN_CLOUD", "http://a:1")], &["--local"], "");
    assert_eq!(
        (cloud["value"].as_str(), cloud["from"].as_str()),
        (None, Some("gave way to --local"))
    );
    assert_eq!((local["value"].as_str(), local["from"].as_str()), (Some("true"), Some("flag")));
    let [cloud, local] = shown(&[("TRICORN_LOCAL", "1")], &[], "cloud = 'http://a:1'");
    assert_eq!(
        (cloud["value"].as_str(), cloud["from"].as_str()),
        (None, Some("gave way to TRICORN_LOCAL"))
    );
    assert_eq!(local["value"].as_str(), Some("true"));
    let both = [("TRICORN_LOCAL", "1"), ("TRICORN_CLOUD", "http://a:1")];
    let line = refused(&folder.tricorn().envs(both).args(["config", "device"]).output().unwrap());
    assert!(
        line.contains("TRICORN_CLOUD and TRICORN_LOCAL exclude each other; unset one"),
        "{line}"
    );
}

#[test]
fn only_commands_that_read_a_file_take_one() {
    let folder = Folder::new();
    let config = folder.config("kv = 'q8'");
    for command in [
        &["distill", "--valid", "x", "--measure", "--model", "demo"][..],
        &["bench", "engine", "--model", "demo"],
    ] {
        let line =
            refused(&folder.tricorn().args(command).arg("--config").arg(&config).output().unwrap());
        assert!(line.contains("unexpected argument '--config'"), "{line}");
    }
    for command in ["device", "cloud", "run", "chat"] {
        let output = folder.tricorn().args([command, "--help"]).output().unwrap();
        assert!(text(&output.stdout).contains("--config <FILE>"), "{command}");
    }
}

#[test]
fn completions_and_manual_know_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = folder.tricorn().args(["completions", shell]).output().unwrap();
        assert!(output.status.success() && text(&output.stdout).contains("inspect"), "{shell}");
    }
    // Names are offered where names are wanted, and files where files are.
    let bash = text(&folder.tricorn().args(["completions", "bash"]).output().unwrap().stdout);
    for names in [
        "f16 q8 f32",
        "hat fused",
        "chunked whole",
        "refuse draft",
        "wifi wifi-scaled 5g lte wan80 loopback",
        "auto always never",
    ] {
        assert!(bash.contains(&format!("compgen -W \"{names}\"")), "{names}");
    }
    let after = |flag: &str| {
        bash.split(&format!("{flag})\n")).nth(1).unwrap().lines().take(8).collect::<String>()
    };
    assert!(
        after("--prompts").contains("compgen -f") && !after("--max-tokens").contains("compgen -f")
    );
    let pages = folder.0.file("man");
    assert!(folder.tricorn().arg("man").arg("--out").arg(&pages).status().unwrap().success());
    for page in ["tricorn.1", "tricorn-device.1", "tricorn-bench-hat.1"] {
        assert!(pages.join(page).is_file(), "{page}");
    }
    assert!(text(&folder.tricorn().arg("man").output().unwrap().stdout).contains(".TH tricorn 1"));
}

#[test]
fn a_model_that_was_not_pulled_is_asked_for_by_its_command() {
    let folder = Folder::new();
    let line = refused(
        &folder
            .tricorn()
            .args(["run", "--model", "hf:org/model", "--local", "x"])
            .output()
            .unwrap(),
    );
    assert!(line.contains("tricorn pull hf:org/model"), "{line}");
    let line = refused(&folder.tricorn().args(["pull", "org/model"]).output().unwrap());
    assert!(line.contains("hf:ORG/NAME"), "{line}");
    let output = folder
        .tricorn()
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .args(["pull", "hf:org/model"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("127.0.0.1:9"), "{}", text(&output.stderr));
}
