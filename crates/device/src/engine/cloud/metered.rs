//! What crosses the wire, counted as it does.

use super::figures::Totals;
use crate::{
    Cancel, Link, LinkError,
    link::{Answer, Connected, Traffic},
};
use std::{sync::Arc, time::Duration};
use tricorn_core::AppendHeader;

/// A link whose traffic is in the engine's figures at once: so it counts however the request ends.
#[derive(Debug)]
pub(super) struct Metered<L> {
    link: L,
    totals: Arc<Totals>,
    counted: Traffic,
}

impl<L: Link> Metered<L> {
    pub(super) fn new(link: L, totals: Arc<Totals>) -> Self {
        let counted = link.traffic();
        Self { link, totals, counted }
    }

    fn counting<R>(&mut self, work: impl FnOnce(&mut L) -> R) -> R {
        let result = work(&mut self.link);
        let now = self.link.traffic();
        if now != self.counted {
            self.totals.crossed(now.since(self.counted));
            self.counted = now;
        }
        result
    }
}

impl<L: Link> Link for Metered<L> {
    fn connect(&mut self) -> Result<Connected, LinkError> {
        self.counting(L::connect)
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), LinkError> {
        self.counting(|link| link.send(header, rows))
    }

    fn receive(&mut self) -> Result<Answer, LinkError> {
        self.counting(L::receive)
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, LinkError> {
        self.counting(L::try_receive)
    }

    fn interrupt_by(&mut self, cancel: &Cancel) {
        self.link.interrupt_by(cancel);
    }

    fn deadline(&self) -> Duration {
        self.link.deadline()
    }

    fn traffic(&self) -> Traffic {
        self.link.traffic()
    }
}
