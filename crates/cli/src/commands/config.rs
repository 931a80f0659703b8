//! `tricorn config`

use super::print_json;
use crate::{
    args::{COMMANDS, ConfigArgs},
    config::{Given, Origin, Setting, settings},
    error::CliError,
    ui,
};
use serde_json::{Map, Value, json};
use std::ffi::OsString;

pub(crate) fn run(args: &ConfigArgs) -> Result<(), CliError> {
    let chosen: Vec<&str> =
        args.command.as_deref().map_or_else(|| COMMANDS.to_vec(), |command| vec![command]);
    let file = args.config.iter().flat_map(|path| [OsString::from("--config"), path.into()]);
    let flags: Vec<OsString> = file.chain(args.flags.iter().cloned()).collect();
    let shown = chosen
        .into_iter()
        .map(|name| Ok((name, settings(name, &flags)?)))
        .collect::<Result<Vec<_>, CliError>>()?;
    if args.json {
        let object: Map<String, Value> = shown
            .into_iter()
            .map(|(name, settings)| (name.to_owned(), object(&settings)))
            .collect();
        return print_json(&object);
    }
    let sections: Vec<String> =
        shown.iter().map(|(name, settings)| format!("[{name}]\n{}", lines(settings))).collect();
    Ok(ui::print(sections.join("\n"))?)
}

fn object(settings: &[Setting]) -> Value {
    settings
        .iter()
        .map(|setting| {
            (
                setting.name.clone(),
                json!({ "value": setting.value, "from": setting.origin.to_string() }),
            )
        })
        .collect()
}

/// As a configuration file that would come to the same.
fn lines(settings: &[Setting]) -> String {
    let texts: Vec<String> = settings
        .iter()
        .map(|Setting { name, value, .. }| match value {
            Some(value) => format!("{name} = {}", literal(value)),
            None => format!("# {name} ="),
        })
        .collect();
    let width = texts.iter().map(|text| text.chars().count()).max().unwrap_or_default();
    texts
        .iter()
        .zip(settings)
        .map(|(text, setting)| format!("{text:<width$}  # {}\n", comment(&setting.origin)))
        .collect()
}

fn comment(origin: &Origin) -> String {
    // A path may hold anything; a comment ends with its line.
    origin.to_string().replace(char::is_control, " ")
}

/// A value as TOML writes it.
fn literal(value: &Given) -> String {
    match value {
        Given::One(value) => number_or_text(value),
        Given::Several(values) => toml::Value::from(values.clone()).to_string(),
    }
}

fn number_or_text(value: &str) -> String {
    let is_plain = value.parse::<i64>().is_ok()
        || value.parse::<bool>().is_ok()
        || value.contains('.') && value.parse::<f64>().is_ok();
    if is_plain && !value.starts_with('+') {
        value.to_owned()
    } else {
        toml::Value::from(value).to_string()
    }
}
