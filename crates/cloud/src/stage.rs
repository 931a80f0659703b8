//! Stages of a middle in several places: each cloud holds some of its layers and hands the rows on
//! to the next.
//!
//! The first stage talks with devices and schedules; [`next`] is its way onwards. Every later stage
//! serves [`service`] and runs what it is sent, in order, in a [`worker`] of its own, which has a
//! way onwards too unless it holds the middle's last layers.

mod dial;
mod next;
mod own;
mod place;
mod refuse;
mod replies;
mod server;
mod service;
mod worker;

pub(crate) use dial::{DialError, NextConfig};
pub(crate) use next::{Joined, join};
pub(crate) use own::leads_to;
pub(crate) use place::Place;
pub(crate) use server::serve;
