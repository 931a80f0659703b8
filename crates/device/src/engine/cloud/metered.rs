//! Metered transport: counts what crosses the wire, as it does.

use crate::{
    engine::figures::Totals,
    transport::{Answer, Connected, Traffic, Transport, TransportError, TransportWrapper},
};
use std::sync::Arc;
use tricorn_core::AppendHeader;

/// A transport whose traffic is in the engine's figures at once: so it counts however the request
/// ends.
#[derive(Debug)]
pub(in crate::engine) struct Metered<T> {
    transport: T,
    totals: Arc<Totals>,
    counted: Traffic,
}

impl<T: Transport> Metered<T> {
    pub(in crate::engine) fn new(transport: T, totals: Arc<Totals>) -> Self {
        let counted = transport.traffic();
        Self { transport, totals, counted }
    }

    fn counting<R>(&mut self, work: impl FnOnce(&mut T) -> R) -> R {
        let result = work(&mut self.transport);
        let now = self.transport.traffic();
        if now != self.counted {
            self.totals.crossed(now.since(self.counted));
            self.counted = now;
        }
        result
    }
}

impl<T: Transport> TransportWrapper for Metered<T> {
    type Inner = T;

    fn inner(&self) -> &T {
        &self.transport
    }

    fn inner_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    fn connect(&mut self) -> Result<Connected, TransportError> {
        self.counting(T::connect)
    }

    fn probe(&mut self) -> Result<Connected, TransportError> {
        self.counting(T::probe)
    }

    fn send(&mut self, header: AppendHeader, rows: &[f32]) -> Result<(), TransportError> {
        self.counting(|transport| transport.send(header, rows))
    }

    fn receive(&mut self) -> Result<Answer, TransportError> {
        self.counting(T::receive)
    }

    fn try_receive(&mut self) -> Result<Option<Answer>, TransportError> {
        self.counting(T::try_receive)
    }
}
