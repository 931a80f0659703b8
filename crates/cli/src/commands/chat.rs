//! `tricorn chat`

use super::{local_middle, open};
use crate::{
    args::ChatArgs,
    error::CliError,
    generate::{self, Show},
    ui,
};
use std::io::{self, BufRead, IsTerminal};
use tricorn_core::TurnError;
use tricorn_device::{Chat, Conversation, DeviceError, DeviceParts, Prompter, Transport};
use tricorn_model::BundlePart;

/// What is said to begin anew.
const CLEAR: &str = "/clear";

pub(crate) fn run(args: &ChatArgs) -> Result<(), CliError> {
    let (source, split) = open(&args.model)?;
    source.expect_part(BundlePart::Device, split)?;
    let prompter = Prompter::load(&source)?;
    let parts =
        DeviceParts::load(&source, split, args.generate.codec, args.generate.drafter.drafting())?
            .with_kv(args.model.kv);
    match &args.middle.cloud {
        Some(url) => {
            let runtime = generate::runtime()?;
            turns(
                args,
                &parts,
                &prompter,
                generate::remote(url, args.generate.deadline, &parts, &runtime),
            )
        }
        None => turns(
            args,
            &parts,
            &prompter,
            generate::local(local_middle(&source, split)?, &parts, args.model.kv),
        ),
    }
}

fn turns(
    args: &ChatArgs,
    parts: &DeviceParts,
    prompter: &Prompter,
    transport: impl Transport,
) -> Result<(), CliError> {
    let grammar = generate::grammar(&args.generate, parts, prompter)?;
    let mut conversation = Conversation::open(parts, transport)?;
    let mut chat = Chat::new();
    let mut answers = 0_usize;
    let colour = ui::shows_colour(&io::stderr());
    let at_a_terminal = io::stdin().is_terminal();
    if at_a_terminal {
        ui::note(ui::faint(
            "One message a line; /clear begins a new chat; an empty line or Ctrl-D ends it.\n",
            colour,
        ));
    }
    let mut lines = io::stdin().lock();
    loop {
        if at_a_terminal {
            ui::note("you> ");
        }
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let message = String::from_utf8(line).map_err(|_| CliError::NotUtf8)?;
        let message = message.trim();
        if message.is_empty() {
            if at_a_terminal {
                return Ok(());
            }
            continue;
        }
        if message == CLEAR {
            (chat, answers) = (Chat::new(), 0);
            ui::note(ui::faint("a new chat begins\n", colour));
            continue;
        }
        let tokens = chat.ask(prompter, message)?;
        let turn = generate::turn(&args.generate, parts, grammar.as_ref(), tokens)?;
        let done =
            generate::run(&mut conversation, prompter, &parts.stop_tokens, turn, Show::Stream)
                .map_err(|error| match error {
                    CliError::Device(DeviceError::Turn(TurnError::TooLong { tokens, context }))
                        if answers > 0 =>
                    {
                        CliError::ChatFull { tokens, context }
                    }
                    error => error,
                });
        match done {
            Ok(generated) => {
                let ids = &generated.report.token_ids;
                let spoken =
                    ids.iter().position(|id| parts.stop_tokens.contains(id)).unwrap_or(ids.len());
                chat.answered(&ids[..spoken], &generated.text);
                answers += 1;
                let reused = generated.report.stats.reused_tokens;
                let figures = format!(
                    "{} | {reused} of {} prompt tokens reused",
                    generated.summary(),
                    generated.report.stats.prompt_tokens
                );
                ui::note(ui::faint(&figures, colour) + "\n");
            }
            // A conversation that has grown too long, or a cloud that is away for a while, need not
            // end the chat.
            Err(error @ (CliError::Device(_) | CliError::ChatFull { .. })) if at_a_terminal => {
                chat.take_back();
                ui::note(ui::error_line(&error) + "\n");
            }
            Err(error) => return Err(error),
        }
    }
}
