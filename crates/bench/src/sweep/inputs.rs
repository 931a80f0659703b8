//! Inputs of every sweep.

use crate::{
    fleet::Setup,
    run::{Observer, Stop},
    workload::Prompts,
};

/// What every sweep is given.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'i> {
    pub(super) setup: &'i Setup,
    pub(super) prompts: &'i Prompts,
    pub(super) observer: &'i dyn Observer,
    pub(super) stop: &'i Stop,
}
