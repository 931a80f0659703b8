//! `tricorn inspect`

use super::{print_json, resolve};
use crate::{args::InspectArgs, bundled, error::CliError, ui};
use tricorn_model::{
    LayerShape,
    inspect::{Inspection, inspect},
};

pub(crate) fn run(args: &InspectArgs) -> Result<(), CliError> {
    let source = bundled::open_quantised(&args.model, args.quant)?;
    let split = resolve(&source, args.split)?;
    let inspection = inspect(&source, split, args.kv)?;
    if args.json {
        return print_json(&inspection);
    }
    let Inspection { layers, split: cut, .. } = &inspection;
    let ranges = split.ranges(*layers)?;
    let device: Vec<String> = [&ranges.input, &ranges.output]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("{part:?}"))
        .collect();
    let held = inspection.quant.as_deref().map_or_else(String::new, |quant| format!(" as {quant}"));
    let part = |stored, resident| {
        format!("{} stored, {} in memory{held}", ui::bytes(stored), ui::bytes(resident))
    };
    let tied = if source.config().tied { " (the head is the embedding above)" } else { "" };
    let mut rows = vec![
        (
            "model",
            format!(
                "{} {:.1} M parameters, {}",
                inspection.family,
                inspection.parameters as f64 / 1e6,
                inspection.dtypes.join(" + ")
            ),
        ),
        ("fingerprint", inspection.fingerprint[..16].to_owned()),
        (
            "shape",
            format!(
                "{layers} layers, hidden {}, vocabulary {}, context {}",
                inspection.hidden, inspection.vocab, inspection.context
            ),
        ),
        ("split", format!("{cut}: device {}, cloud {:?}", device.join(" and "), ranges.middle)),
        ("input part", part(inspection.input_bytes, inspection.input_resident_bytes)),
        ("middle part", part(inspection.middle_bytes, inspection.middle_resident_bytes)),
        ("output part", part(inspection.output_bytes, inspection.output_resident_bytes) + tied),
        (
            "KV cache a token",
            format!(
                "{} on the device, {} in the cloud",
                ui::bytes(inspection.device_kv_bytes_per_token),
                ui::bytes(inspection.cloud_kv_bytes_per_token)
            ),
        ),
        (
            "wire a token",
            inspection
                .wire_bytes_per_token
                .iter()
                .map(|(codec, bytes)| format!("{} as {codec}", ui::bytes(*bytes)))
                .collect::<Vec<_>>()
                .join(", ")
                + ", each way",
        ),
    ];
    if !inspection.layer_shapes.is_empty() {
        rows.insert(3, ("uneven layers", uneven(&inspection.layer_shapes)));
    }
    if let Some(bundle) = &inspection.bundle {
        rows.push(("bundle", format!("the {bundle}'s share only")));
    }
    for info in &inspection.drafters {
        let figures = format!(
            "{} for split {}, trained on {} tokens, threshold {:.1}",
            info.kind, info.split, info.trained_tokens, info.threshold
        );
        rows.push(("drafter", figures));
    }
    if inspection.drafters.is_empty() && inspection.bundle.is_none() {
        rows.push(("drafter", "none; train one with `tricorn distill`".to_owned()));
    }
    Ok(ui::print(ui::table(&rows))?)
}

/// The smallest and the largest of each size of layers that differ.
fn uneven(shapes: &[LayerShape]) -> String {
    let range = |name: &str, size: fn(&LayerShape) -> usize| {
        let sizes = || shapes.iter().map(size);
        match (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0)) {
            (least, most) if least == most => format!("{name} {least}"),
            (least, most) => format!("{name} {least} to {most}"),
        }
    };
    [
        range("heads", |shape| shape.heads),
        range("KV heads", |shape| shape.kv_heads),
        range("head width", |shape| shape.head_dim),
        range("FFN width", |shape| shape.intermediate),
    ]
    .join(", ")
}
