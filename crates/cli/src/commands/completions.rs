//! `tricorn completions` and `tricorn man`

use crate::{
    args::{CompletionsArgs, ManArgs},
    config,
    error::CliError,
    ui,
};
use clap::{Arg, Command, ValueHint};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut hinted(config::command()), "tricorn", &mut text);
    Ok(ui::print(String::from_utf8_lossy(&text))?)
}

/// The same commands, so that a shell offers files only where a file is wanted.
fn hinted(command: Command) -> Command {
    let is_open =
        |arg: &Arg| arg.get_action().takes_values() && arg.get_value_hint() == ValueHint::Unknown;
    command
        .mut_args(|arg| if is_open(&arg) { arg.value_hint(ValueHint::Other) } else { arg })
        .mut_subcommands(hinted)
}

pub(crate) fn man(args: &ManArgs) -> Result<(), CliError> {
    let command = config::command();
    match &args.out {
        Some(folder) => {
            let wrong = |error| CliError::Folder(folder.clone(), error);
            std::fs::create_dir_all(folder).map_err(wrong)?;
            clap_mangen::generate_to(command, folder).map_err(wrong)
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(command).render(&mut page)?;
            Ok(ui::print(String::from_utf8_lossy(&page))?)
        }
    }
}
