//! The environment's values of flags.

use super::{ConfigError, is_setting, is_switch, problem_with, rivals};
use clap::{
    Arg, Command,
    builder::{BoolishValueParser, TypedValueParser},
};
use std::ffi::{OsStr, OsString};

const PREFIX: &str = "TRICORN_";

/// The environment's name of a flag.
pub(super) fn variable(arg: &Arg) -> Option<String> {
    Some(PREFIX.to_owned() + &arg.get_long()?.replace('-', "_").to_uppercase())
}

/// What the environment says of a flag. An empty variable is one that is not set, as shells and
/// compose files have it.
pub(super) fn value(arg: &Arg) -> Option<OsString> {
    std::env::var_os(variable(arg)?).filter(|value| !value.is_empty())
}

/// Whether the environment sets a flag, which for a switch means that it is on.
pub(super) fn sets(arg: &Arg) -> bool {
    value(arg).is_some_and(|value| !is_switch(arg) || switch(&value) == Some(true))
}

/// The same flag, which clap reads from the environment too.
pub(super) fn read_by(arg: Arg) -> Arg {
    let arg = if is_switch(&arg) { arg.value_parser(BoolishValueParser::new()) } else { arg };
    let is_empty = |name: &str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    match variable(&arg).filter(|name| !is_empty(name)) {
        Some(name) => arg.env(name).hide_env_values(true),
        None => arg,
    }
}

/// Checks what the environment says of the flags that `is_given` does not know, as the flags
/// themselves would be.
pub(super) fn check(command: &Command, is_given: impl Fn(&Arg) -> bool) -> Result<(), ConfigError> {
    let set = || command.get_arguments().filter(|arg| is_setting(arg) && !is_given(arg));
    for (arg, value) in set().filter_map(|arg| Some((arg, value(arg)?))) {
        let problem = if is_switch(arg) {
            switch(&value).is_none().then(|| {
                format!("invalid value '{}'; write true or false", value.to_string_lossy())
            })
        } else {
            problem_with(arg, &value)
        };
        if let (Some(problem), Some(name)) = (problem, variable(arg)) {
            return Err(ConfigError::Variable { name, problem });
        }
    }
    for arg in set().filter(|arg| sets(arg)) {
        let other = rivals(command, arg)
            .into_iter()
            .find(|other| is_setting(other) && !is_given(other) && sets(other));
        if let (Some(one), Some(other)) = (variable(arg), other.and_then(variable)) {
            return Err(ConfigError::BothVariables { names: [one, other] });
        }
    }
    Ok(())
}

/// Yes or no, in the words that clap takes for them.
fn switch(value: &OsStr) -> Option<bool> {
    BoolishValueParser::new().parse_ref(&Command::new("switch"), None, value).ok()
}
