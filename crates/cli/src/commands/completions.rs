//! `tricorn completions` and `tricorn man`

use crate::{
    args::{CompletionsArgs, ManArgs},
    config,
    error::CliError,
    ui,
};

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut config::command(), "tricorn", &mut text);
    Ok(ui::print(String::from_utf8_lossy(&text))?)
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
