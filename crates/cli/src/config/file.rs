//! The configuration file.

use super::{ConfigError, is_setting, is_switch, names, problem_with, rivals};
use crate::args::COMMANDS;
use clap::{Arg, Command};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Values by flag, for all commands and for one.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    table: Table,
}

impl ConfigFile {
    /// The file that was asked for, that `TRICORN_CONFIG` names, or the user's own where there is
    /// one; checked against the flags of `command`.
    pub(crate) fn find(
        asked: Option<PathBuf>,
        command: &Command,
    ) -> Result<Option<Self>, ConfigError> {
        let named = asked.or_else(|| {
            std::env::var_os("TRICORN_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
        });
        let path = match named {
            Some(path) => path,
            None => match default_path() {
                Some(path) if path.exists() => path,
                _ => return Ok(None),
            },
        };
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::Read { path: path.clone(), error })?;
        Self::parse(path, &text, command).map(Some)
    }

    fn parse(path: PathBuf, text: &str, command: &Command) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| match twice(&error, text) {
            Some(key) => ConfigError::FlagAndSection { path: path.clone(), key: key.to_owned() },
            None => ConfigError::Syntax {
                path: path.clone(),
                problem: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
            },
        })?;
        let file = Self { path, table };
        for (key, value) in &file.table {
            match value {
                Value::Table(section) if COMMANDS.contains(&key.as_str()) => {
                    section.iter().try_for_each(|(flag, value)| {
                        file.check(command, &[key.as_str()], Some(key), flag, value)
                    })?;
                }
                value => file.check(command, &COMMANDS, None, key, value)?,
            }
        }
        for name in COMMANDS {
            file.check_exclusive(command, name)?;
        }
        Ok(file)
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says of a command's flag: in the command's section, or above all sections. Several
    /// values have commas between them.
    pub(crate) fn value(&self, command: &str, flag: &Arg) -> Option<String> {
        let names = names(flag);
        let named = |table: &Table| names.iter().find_map(|&name| table.get(name)).cloned();
        let section = self.table.get(command).and_then(Value::as_table);
        section
            .and_then(named)
            .or_else(|| named(&self.table))
            .filter(|value| !is_empty_list(value))
            .and_then(|value| plain(&value))
    }

    /// Checks one value as the flag itself would be.
    fn check(
        &self,
        command: &Command,
        commands: &[&str],
        section: Option<&str>,
        key: &str,
        value: &Value,
    ) -> Result<(), ConfigError> {
        let path = || self.path.clone();
        let full = section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"));
        let owners: Vec<&Command> = command
            .get_subcommands()
            .filter(|owner| commands.contains(&owner.get_name()))
            .collect();
        let flags: Vec<&Arg> = owners
            .iter()
            .flat_map(|owner| owner.get_arguments())
            .filter(|arg| is_setting(arg))
            .collect();
        let Some(arg) = flags.iter().find(|arg| names(arg).contains(&key)) else {
            let mut known: Vec<&str> = flags.iter().flat_map(|arg| names(arg)).collect();
            known.sort_unstable();
            known.dedup();
            let place = section.map_or_else(String::new, |section| format!(" in [{section}]"));
            return Err(ConfigError::Unknown {
                path: path(),
                key: key.to_owned(),
                place,
                known: known.join(", "),
            });
        };
        let (takes_list, text) = (arg.get_value_delimiter().is_some(), plain(value));
        let (wanted, text) = if is_switch(arg) {
            ("true or false", text.filter(|text| matches!(text.as_str(), "true" | "false")))
        } else if takes_list {
            ("a text, or a list of texts", text)
        } else {
            ("a text, a number, true or false", text.filter(|_| !value.is_array()))
        };
        let text = text.ok_or_else(|| ConfigError::Kind {
            path: path(),
            key: full.clone(),
            found: value.type_str(),
            wanted,
        })?;
        let problem = if is_switch(arg) || is_empty_list(value) {
            None
        } else {
            problem_with(arg, text.as_ref())
        };
        problem
            .map_or(Ok(()), |problem| Err(ConfigError::Value { path: path(), key: full, problem }))
    }

    /// Two values that exclude each other cannot both be meant.
    fn check_exclusive(&self, command: &Command, name: &str) -> Result<(), ConfigError> {
        let Some(owner) = command.get_subcommands().find(|owner| owner.get_name() == name) else {
            return Ok(());
        };
        let both = |one: &str, other: &str| ConfigError::Both {
            path: self.path.clone(),
            keys: [one.to_owned(), other.to_owned()],
        };
        let is_set = |arg: &Arg| self.value(name, arg).is_some_and(|value| value != "false");
        let section = self.table.get(name).and_then(Value::as_table);
        for arg in owner.get_arguments().filter(|arg| is_setting(arg) && is_set(arg)) {
            let other = rivals(owner, arg).into_iter().find(|other| is_set(other));
            if let (Some(one), Some(other)) = (arg.get_long(), other.and_then(Arg::get_long)) {
                return Err(both(one, other));
            }
            for table in section.into_iter().chain([&self.table]) {
                let used: Vec<&str> =
                    names(arg).into_iter().filter(|name| table.contains_key(*name)).collect();
                if let [one, other, ..] = used[..] {
                    return Err(both(one, other));
                }
            }
        }
        Ok(())
    }
}

/// Where the user's own file is looked for.
pub(crate) fn default_path() -> Option<PathBuf> {
    Some(dirs::config_dir()?.join("tricorn").join("config.toml"))
}

/// A value as a flag would be given it.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(switch) => Some(switch.to_string()),
        Value::Array(values) if values.iter().all(Value::is_str) => {
            Some(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","))
        }
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// The command that a text has as a flag and as a section, which TOML takes for one key said twice.
fn twice(error: &toml::de::Error, text: &str) -> Option<&'static str> {
    let at = text.get(error.span()?)?;
    let is_command = |name: &&str| at.trim_matches(['[', ']', '"', '\'', ' ']) == *name;
    error
        .message()
        .contains("duplicate key")
        .then(|| COMMANDS.into_iter().find(is_command))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{super::flags_alone, *};

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse("config.toml".into(), text, &flags_alone())
            .map_err(|error| error.to_string())
    }

    fn value(file: &ConfigFile, command: &str, flag: &str) -> Option<String> {
        let flags = flags_alone();
        let mut args = flags.find_subcommand(command).unwrap().get_arguments();
        file.value(command, args.find(|arg| arg.get_long() == Some(flag)).unwrap())
    }

    #[test]
    fn a_section_wins_over_what_stands_above_all_sections() {
        let file = parse(
            "model = 'demo'\nlisten = '127.0.0.1:1'\n[device]\nlisten = '127.0.0.1:2'\nslots = 3",
        )
        .unwrap();
        assert_eq!(value(&file, "device", "listen").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(value(&file, "cloud", "listen").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(value(&file, "device", "slots").as_deref(), Some("3"));
        assert_eq!(value(&file, "device", "split"), None);
    }

    #[test]
    fn a_flags_other_name_stands_for_it() {
        for text in ["max-batch-tokens = 64", "[cloud]\nmax-batch-tokens = 64"] {
            let file = parse(text).unwrap();
            assert_eq!(value(&file, "cloud", "batch-rows").as_deref(), Some("64"), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_the_mend() {
        for (text, parts) in [
            ("nonsense = 1", &["nonsense", "there are"][..]),
            ("[device]\nmax-sessions = 1", &["max-sessions in [device]"]),
            ("[device]\nlisten = 'nowhere'", &["device.listen"]),
            ("[device]\nslots = [1]", &["device.slots is array", "write a text"]),
            ("[device]\nallow-host = ['a', 1]", &["device.allow-host is array", "a list of texts"]),
            ("[device]\nlocal = 1", &["device.local is integer", "true or false"]),
            ("[device]\nlocal = 'yes'", &["device.local is string", "true or false"]),
            (
                "device = 'cpu'\n[device]\nlocal = true",
                &["device is both a flag", "the section [device]", "write the flag into"],
            ),
            (
                "cloud = 'http://a:1'\n[cloud]\nlisten = '127.0.0.1:1'",
                &["cloud is both a flag", "the section [cloud]"],
            ),
            ("[device]\nlocal = true\ncloud = 'http://a:1'", &["exclude each other"]),
            ("[cloud]\nbatch-rows = 1\nmax-batch-tokens = 1", &["exclude each other"]),
            ("[nothing]\na = 1", &["nothing"]),
            ("model = ", &["config.toml:"]),
        ] {
            let error = parse(text).unwrap_err();
            assert!(
                parts.iter().all(|part| error.contains(part)) && !error.contains('\n'),
                "{text}: {error}"
            );
        }
    }
}
