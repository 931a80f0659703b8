//! Origins of a command's values: flag, environment, file or default.

use super::{Refusal, environment, is_setting, is_switch, layers::Layers, optional};
use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use serde::Serialize;
use std::{ffi::OsString, fmt, path::PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag,
    /// A flag or a variable excludes what a weaker place says.
    GaveWay(String),
    /// There is no value.
    Unset,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
            Self::GaveWay(to) => write!(f, "gave way to {to}"),
            Self::Unset => f.write_str("not set"),
        }
    }
}

/// What a flag is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Given {
    One(String),
    Several(Vec<String>),
}

/// One flag of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: Option<Given>,
    pub(crate) origin: Origin,
}

/// All settings of command `name` when it is given `flags`, which need not be all that it demands.
pub(crate) fn settings(name: &str, flags: &[OsString]) -> Result<Vec<Setting>, Refusal> {
    let given: Vec<OsString> =
        [OsString::from("tricorn"), name.into()].into_iter().chain(flags.iter().cloned()).collect();
    let layers = Layers::of(&given)?;
    let matches = optional(layers.command.clone()).try_get_matches_from(given)?;
    // Filling values in changes the order of flags; these are as the help has them.
    let plain = super::command();
    let (Some((_, chosen)), Some(owner)) = (matches.subcommand(), plain.find_subcommand(name))
    else {
        return Ok(Vec::new());
    };
    let args = owner.get_arguments().filter(|arg| is_setting(arg) && !arg.is_hide_set());
    Ok(args
        .filter_map(|arg| {
            Some(Setting {
                name: arg.get_long()?.to_owned(),
                value: value(chosen, arg),
                origin: origin(&layers, chosen, owner, arg),
            })
        })
        .collect())
}

fn value(chosen: &ArgMatches, arg: &Arg) -> Option<Given> {
    let id = arg.get_id().as_str();
    if is_switch(arg) {
        return Some(Given::One(chosen.get_flag(id).to_string()));
    }
    let mut values = chosen.get_raw(id)?.map(|value| value.to_string_lossy().into_owned());
    if arg.get_value_delimiter().is_some() {
        Some(Given::Several(values.collect()))
    } else {
        values.next().map(Given::One)
    }
}

fn origin(layers: &Layers, chosen: &ArgMatches, owner: &Command, arg: &Arg) -> Origin {
    let winner = |arg: &Arg| {
        let variable = environment::variable(arg).filter(|_| !layers.is_on_line(arg));
        Origin::GaveWay(
            variable.unwrap_or_else(|| format!("--{}", arg.get_long().unwrap_or_default())),
        )
    };
    if layers.is_on_line(arg) {
        return Origin::Flag;
    }
    if let Some(name) = environment::value(arg).and_then(|_| environment::variable(arg)) {
        return layers.wins_over_environment(owner, arg).map_or(Origin::Environment(name), winner);
    }
    let file = layers.file.as_ref().filter(|file| file.value(owner.get_name(), arg).is_some());
    match (file, chosen.value_source(arg.get_id().as_str())) {
        (Some(file), _) => layers
            .wins_over_file(owner, arg)
            .map_or_else(|| Origin::File(file.path().to_owned()), winner),
        (None, Some(ValueSource::DefaultValue)) => Origin::Default,
        (None, _) => Origin::Unset,
    }
}
