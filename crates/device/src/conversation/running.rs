//! Running turn: the state that ends with its turn.

use super::{clock::Clock, recorder::Recorder};
use crate::{
    transport::Traffic,
    turn::{Control, Event},
};
use std::ops::ControlFlow;
use tricorn_core::{
    Sampler,
    driver::{Recovery, StepOrder, Uplink},
};

/// A turn under way.
pub(super) struct RunningTurn<'f> {
    on_event: &'f mut dyn FnMut(Event) -> ControlFlow<()>,
    pub(super) control: &'f Control,
    pub(super) sampler: Sampler,
    /// Tokens that the turn began with.
    pub(super) prompt: usize,
    /// Alternatives to look for at each draft.
    pub(super) alternatives: usize,
    pub(super) clock: Clock,
    pub(super) order: StepOrder,
    pub(super) uplink: Uplink,
    pub(super) recovery: Recovery,
    pub(super) recorder: Recorder,
}

impl<'f> RunningTurn<'f> {
    /// A turn that begins now; `before` is the traffic until then.
    pub(super) fn new(
        sampler: Sampler,
        (prompt, alternatives): (usize, usize),
        control: &'f Control,
        before: Traffic,
        on_event: &'f mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Self {
        Self {
            on_event,
            control,
            sampler,
            prompt,
            alternatives,
            clock: Clock::start(),
            order: StepOrder::default(),
            uplink: Uplink::default(),
            recovery: Recovery::default(),
            recorder: Recorder::new(before, control.samples),
        }
    }

    /// Tells whoever listens. Breaks where nobody does any more.
    pub(super) fn tell(&mut self, event: Event) -> ControlFlow<()> {
        (self.on_event)(event)
    }
}
