//! One slot: a thread with a conversation.

use super::{
    generation::{Finish, Finished, Job, TextToken, Update},
    roster::Roster,
    text::GeneratedText,
};
use crate::{Conversation, DeviceError, Ends, Event, Link, Options, Prompter, Turn};
use std::ops::ControlFlow;
use tricorn_core::FinishReason;

/// Serves requests until the engine closes.
pub(super) fn serve<L: Link>(index: usize, ends: &Ends, prompter: &Prompter, roster: &Roster, link: &dyn Fn() -> L, options: &Options) {
    let mut conversation: Option<Conversation<'_, L>> = None;
    while let Some(Job { request, updates }) = roster.next(index) {
        // A client that has gone is found out by the first update it does not take.
        let send = |update| updates.blocking_send(update).map_or(ControlFlow::Break(()), ControlFlow::Continue);
        let run = || -> Result<Finished, DeviceError> {
            let conversation = match &mut conversation {
                Some(conversation) => conversation,
                none => none.insert(Conversation::open_with(ends, link(), options.clone())?),
            };
            let mut text = GeneratedText::new(prompter.reply(&request.prompt, &ends.stop_tokens)?, request.stop);
            let mut failure = None;
            let turn = Turn {
                tokens: request.prompt,
                max_new_tokens: request.max_new_tokens,
                sampling: request.sampling,
                draft: request.draft,
                chunk: request.chunk,
            };
            let report = conversation.turn(turn, &mut |event| match event {
                Event::Token { id, drafted } => match text.push(TextToken { id, drafted }) {
                    Ok((piece, tokens)) => {
                        send(Update::Delta { text: piece, tokens })?;
                        if text.stopped().is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                    }
                    Err(error) => {
                        failure = Some(error);
                        ControlFlow::Break(())
                    }
                },
                Event::Reconnecting => send(Update::Reconnecting),
            })?;
            if let Some(error) = failure {
                return Err(error.into());
            }
            let finish = match (text.stopped(), report.finish) {
                (Some(stop), _) => Finish::StopText(stop.to_owned()),
                (None, FinishReason::Length) => Finish::Length,
                // A client that has gone does not read why.
                (None, FinishReason::Stop | FinishReason::Cancelled) => Finish::Stop,
            };
            let (rest, tokens) = text.finish()?;
            let _ = send(Update::Delta { text: rest, tokens });
            Ok(Finished { finish, report })
        };
        let last = match run() {
            Ok(finished) => Update::Done(Box::new(finished)),
            Err(error) => Update::Failed(error),
        };
        let _ = send(last);
        roster.done(index, conversation.as_ref().map_or(Vec::new(), |conversation| conversation.tokens().to_vec()));
    }
}
