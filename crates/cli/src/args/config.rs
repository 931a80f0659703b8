//! The flags of the commands about the program itself: configuration, completions, manual.

use super::COMMANDS;
use clap::{Args as ClapArgs, builder::PossibleValuesParser};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
A file sets flags by their names, for all commands or for one; TRICORN_ variables \
                        win over it, and flags over both:

  model = \"/models/llama\"         # TRICORN_MODEL, \
                        --model
  [device]
  cloud = \"http://cloud:7070\"     # TRICORN_CLOUD, --cloud

The file is --config, else TRICORN_CONFIG, else tricorn/config.toml in the user's configuration \
                        folder.

Examples:
  tricorn config device
  TRICORN_SLOTS=8 tricorn config device --listen 0.0.0.0:8080")]
pub(crate) struct ConfigArgs {
    /// The command to show [default: all that read a configuration]
    #[arg(value_name = "COMMAND", value_parser = PossibleValuesParser::new(COMMANDS))]
    pub(crate) command: Option<String>,
    /// The file to read
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Flags as the command would be given them
    #[arg(value_name = "FLAGS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) flags: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  tricorn completions bash > ~/.local/share/bash-completion/completions/tricorn
  tricorn completions zsh > ~/.zfunc/_tricorn
  tricorn completions fish > ~/.config/fish/completions/tricorn.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  tricorn man | man -l -
  tricorn man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for the program and one for every command into this folder, in place of the
    /// program's to standard output
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Files go into the cache that Python's huggingface_hub shares. HF_ENDPOINT, \
                        HF_HOME, HF_HUB_CACHE, HF_TOKEN and HF_HUB_OFFLINE are obeyed.

Examples:
  tricorn \
                        pull hf:ORG/NAME
  tricorn pull hf:ORG/NAME-GGUF:name-q4_k_m.gguf
  tricorn \
                        device --model hf:ORG/NAME --cloud http://cloud:7070")]
pub(crate) struct PullArgs {
    /// The model: hf:ORG/NAME, with @REVISION for another than main, and :FILE.gguf for one of
    /// several files
    #[arg(value_name = "MODEL")]
    pub(crate) model: tricorn_hub::ModelName,
    /// Print one JSON object: path, commit, bytes
    #[arg(long)]
    pub(crate) json: bool,
}
