//! `tricorn run`

use super::{local_middle, open, print_json, utf8};
use crate::{
    args::RunArgs,
    error::CliError,
    generate::{self, Generated, Show},
    ui,
};
use std::io::Read;
use tricorn_device::{Conversation, DeviceParts, Prompter, Transport};
use tricorn_model::BundlePart;
use tricorn_text::template::Message;

pub(crate) fn run(args: &RunArgs) -> Result<(), CliError> {
    let prompt = read_prompt(utf8(&args.prompt)?)?;
    let (source, split) = open(&args.model)?;
    source.expect_part(BundlePart::Device, split)?;
    let prompter = Prompter::load(&source)?;
    let tokens = if args.raw {
        prompter.raw(&prompt)?
    } else {
        prompter.chat(&[Message::new("user", prompt)])?
    };
    let parts =
        DeviceParts::load(&source, split, args.generate.codec, args.generate.drafter.drafting())?
            .with_kv(args.model.kv);
    let generated = match &args.middle.cloud {
        Some(url) => {
            let runtime = generate::runtime()?;
            turn(
                args,
                &parts,
                &prompter,
                generate::remote(url, args.generate.deadline, &parts, &runtime),
                tokens,
            )?
        }
        None => turn(
            args,
            &parts,
            &prompter,
            generate::local(local_middle(&source, split)?, &parts, args.model.kv),
            tokens,
        )?,
    };
    if args.json {
        print_json(&generated.json())
    } else {
        ui::note(ui::faint(&generated.summary(), ui::shows_colour(&std::io::stderr())) + "\n");
        Ok(())
    }
}

fn turn(
    args: &RunArgs,
    parts: &DeviceParts,
    prompter: &Prompter,
    transport: impl Transport,
    tokens: Vec<u32>,
) -> Result<Generated, CliError> {
    let grammar = generate::grammar(&args.generate, parts, prompter)?;
    let turn = generate::turn(&args.generate, parts, grammar.as_ref(), tokens)?;
    let show = if args.json { Show::Nothing } else { Show::Stream };
    let mut conversation = Conversation::open(parts, transport)?;
    generate::run(&mut conversation, prompter, &parts.stop_tokens, turn, show)
}

fn read_prompt(prompt: &str) -> Result<String, CliError> {
    if prompt != "-" {
        return Ok(prompt.to_owned());
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let mut text = String::from_utf8(bytes).map_err(|_| CliError::NotUtf8)?;
    // The newline that ends the last line belongs to the shell, not to the prompt.
    let end = text
        .strip_suffix('\n')
        .map_or(text.len(), |line| line.strip_suffix('\r').unwrap_or(line).len());
    text.truncate(end);
    Ok(text)
}
