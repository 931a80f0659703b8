//! Errors of arguments, environment and configuration file.

use std::path::PathBuf;

/// What was asked is wrong, or what the file or the environment says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// A configuration file or an environment that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: {error}; mend --config or TRICORN_CONFIG", .path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {problem}", .path.display())]
    Syntax { path: PathBuf, problem: String },
    #[error(
        "{}: {key} is both a flag above the sections and the section [{key}]; write the flag into \
         the sections of the commands that it is for",
        .path.display()
    )]
    FlagAndSection { path: PathBuf, key: String },
    #[error("{}: nothing is called {key}{place}; there are {known}", .path.display())]
    Unknown { path: PathBuf, key: String, place: String, known: String },
    #[error("{}: {key} is {found}; write {wanted}", .path.display())]
    Kind { path: PathBuf, key: String, found: &'static str, wanted: &'static str },
    #[error("{}: {key}: {problem}", .path.display())]
    Value { path: PathBuf, key: String, problem: String },
    #[error("{}: {} and {} exclude each other; remove one", .path.display(), .keys[0], .keys[1])]
    Both { path: PathBuf, keys: [String; 2] },
    #[error("environment {name}: {problem}")]
    Variable { name: String, problem: String },
    #[error("environment {} and {} exclude each other; unset one", .names[0], .names[1])]
    BothVariables { names: [String; 2] },
}
