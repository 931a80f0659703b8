//! Values that are one of some names, which completions offer.

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use std::{ffi::OsStr, str::FromStr};
use tricorn_core::HiddenCodec;
use tricorn_kernels::KvFormat;
use tricorn_model::{DrafterKind, quant::Quant};

/// A parser that says in its own words what is wrong with a value, and lets completions know the
/// names.
#[derive(Clone)]
pub(super) struct Named<T, E> {
    names: Vec<&'static str>,
    parse: fn(&str) -> Result<T, E>,
}

/// Reads one of `names` by `parse`.
pub(super) fn named<T, E>(
    names: impl IntoIterator<Item = &'static str>,
    parse: fn(&str) -> Result<T, E>,
) -> Named<T, E> {
    Named { names: names.into_iter().collect(), parse }
}

pub(super) fn kv() -> Named<KvFormat, <KvFormat as FromStr>::Err> {
    named(KvFormat::ALL.map(KvFormat::name), str::parse)
}

pub(super) fn quant() -> Named<Quant, <Quant as FromStr>::Err> {
    named(Quant::ALL.map(Quant::name), str::parse)
}

pub(super) fn codec() -> Named<HiddenCodec, <HiddenCodec as FromStr>::Err> {
    named(HiddenCodec::ALL.map(HiddenCodec::name), str::parse)
}

pub(super) fn drafter() -> Named<DrafterKind, <DrafterKind as FromStr>::Err> {
    named(DrafterKind::ALL.map(DrafterKind::name), str::parse)
}

impl<T, E> TypedValueParser for Named<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Clone + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let parse = self.parse;
        StringValueParser::new().try_map(move |text| parse(&text)).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.names.iter().map(PossibleValue::new)))
    }
}
