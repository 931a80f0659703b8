//! The configuration file.

use super::{COMMANDS, is_setting, rivals};
use clap::{Arg, Command};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{}: {error}; mend --config or TRICORN_CONFIG", .path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{}: {problem}", .path.display())]
    Syntax { path: PathBuf, problem: String },
    #[error("{}: nothing is called {key}{place}; there are {known}", .path.display())]
    Unknown { path: PathBuf, key: String, place: String, known: String },
    #[error("{}: {key} is {found}; write a text, a number, true or false", .path.display())]
    Kind { path: PathBuf, key: String, found: &'static str },
    #[error("{}: {key}: {problem}", .path.display())]
    Value { path: PathBuf, key: String, problem: String },
    #[error("{}: {} and {} exclude each other; remove one", .path.display(), .keys[0], .keys[1])]
    Both { path: PathBuf, keys: [String; 2] },
}

/// Values by flag, for all commands and for one.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    table: Table,
}

impl ConfigFile {
    /// The file that was asked for, that `TRICORN_CONFIG` names, or the user's own where there is one; checked against the flags of `command`.
    pub(crate) fn find(asked: Option<PathBuf>, command: &Command) -> Result<Option<Self>, ConfigError> {
        let named = asked.or_else(|| std::env::var_os("TRICORN_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let path = match named {
            Some(path) => path,
            None => match default_path() {
                Some(path) if path.exists() => path,
                _ => return Ok(None),
            },
        };
        let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::Read { path: path.clone(), error })?;
        Self::parse(path, &text, command).map(Some)
    }

    fn parse(path: PathBuf, text: &str, command: &Command) -> Result<Self, ConfigError> {
        let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
            path: path.clone(),
            problem: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
        let file = Self { path, table };
        for (key, value) in &file.table {
            match value {
                Value::Table(section) if COMMANDS.contains(&key.as_str()) => {
                    section.iter().try_for_each(|(flag, value)| file.check(command, &[key.as_str()], Some(key), flag, value))?;
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

    /// What it says of a command's flag: in the command's section, or above all sections.
    pub(crate) fn value(&self, command: &str, flag: &str) -> Option<String> {
        let section = self.table.get(command).and_then(Value::as_table).and_then(|section| section.get(flag));
        section.or_else(|| self.table.get(flag)).and_then(plain)
    }

    /// Checks one value as the flag itself would be.
    fn check(&self, command: &Command, commands: &[&str], section: Option<&str>, key: &str, value: &Value) -> Result<(), ConfigError> {
        let path = || self.path.clone();
        let full = section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"));
        let owners: Vec<&Command> = command.get_subcommands().filter(|owner| commands.contains(&owner.get_name())).collect();
        let flags: Vec<&Arg> = owners.iter().flat_map(|owner| owner.get_arguments()).filter(|arg| is_setting(arg)).collect();
        let Some(arg) = flags.iter().find(|arg| arg.get_long() == Some(key)) else {
            let mut known: Vec<&str> = flags.iter().filter_map(|arg| arg.get_long()).collect();
            known.sort_unstable();
            known.dedup();
            let place = section.map_or_else(String::new, |section| format!(" in [{section}]"));
            return Err(ConfigError::Unknown { path: path(), key: key.to_owned(), place, known: known.join(", ") });
        };
        let Some(text) = plain(value) else { return Err(ConfigError::Kind { path: path(), key: full, found: value.type_str() }) };
        let is_switch = !arg.get_action().takes_values();
        let given = match (is_switch, text.as_str()) {
            (true, "true") => vec![format!("--{key}")],
            (true, "false") => Vec::new(),
            (true, _) => return Err(ConfigError::Value { path: path(), key: full, problem: "write true or false".to_owned() }),
            (false, _) => vec![format!("--{key}={text}")],
        };
        let alone = Command::new("file").no_binary_name(true).arg((*arg).clone().required(false));
        alone.try_get_matches_from(given).map(drop).map_err(|error| {
            let error = error.to_string();
            let line = error.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
            ConfigError::Value { path: path(), key: full, problem: line.split_whitespace().collect::<Vec<_>>().join(" ") }
        })
    }

    /// Two values that exclude each other cannot both be meant.
    fn check_exclusive(&self, command: &Command, name: &str) -> Result<(), ConfigError> {
        let Some(owner) = command.get_subcommands().find(|owner| owner.get_name() == name) else { return Ok(()) };
        let is_set = |flag: &str| self.value(name, flag).is_some_and(|value| value != "false");
        for arg in owner.get_arguments().filter(|arg| is_setting(arg) && arg.get_long().is_some_and(is_set)) {
            let other = rivals(owner, arg).into_iter().filter_map(|other| other.get_long()).find(|flag| is_set(flag));
            if let (Some(one), Some(other)) = (arg.get_long(), other) {
                return Err(ConfigError::Both { path: self.path.clone(), keys: [one.to_owned(), other.to_owned()] });
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
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::command, *};

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse("config.toml".into(), text, &command()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_section_wins_over_what_stands_above_all_sections() {
        let file = parse("model = 'demo'\nlisten = '127.0.0.1:1'\n[device]\nlisten = '127.0.0.1:2'\nslots = 3").unwrap();
        assert_eq!(file.value("device", "listen").as_deref(), Some("127.0.0.1:2"));
        assert_eq!(file.value("cloud", "listen").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(file.value("device", "slots").as_deref(), Some("3"));
        assert_eq!(file.value("device", "split"), None);
    }

    #[test]
    fn mistakes_are_named_with_the_mend() {
        for (text, parts) in [
            ("nonsense = 1", &["nonsense", "there are"][..]),
            ("[device]\nmax-sessions = 1", &["max-sessions in [device]"]),
            ("[device]\nlisten = 'nowhere'", &["device.listen"]),
            ("[device]\nslots = [1]", &["device.slots is array", "write a text"]),
            ("[device]\nlocal = 1", &["device.local", "true or false"]),
            ("[device]\nlocal = true\ncloud = 'http://a:1'", &["exclude each other"]),
            ("[nothing]\na = 1", &["nothing"]),
            ("model = ", &["config.toml:"]),
        ] {
            let error = parse(text).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{text}: {error}");
        }
    }
}
