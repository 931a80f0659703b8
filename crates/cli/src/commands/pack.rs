//! `tricorn pack`

use super::{print_json, resolve};
use crate::{args::PackArgs, bundled, error::CliError, ui};
use serde_json::json;
use tricorn_model::pack::{pack, pack_whole};

pub(crate) fn run(args: &PackArgs) -> Result<(), CliError> {
    let source = bundled::open_quantised(&args.model, args.quant)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CliError::NotEmpty(args.out.clone()));
    }
    if args.whole {
        let bytes = pack_whole(&source, &args.out)?;
        return if args.json {
            print_json(&json!({ "whole": args.out, "whole_bytes": bytes }))
        } else {
            Ok(ui::print(ui::table(&[(
                "whole",
                format!("{} in {}", ui::bytes(bytes), args.out.display()),
            )]))?)
        };
    }
    let packed = pack(&source, resolve(&source, args.split)?, &args.out)?;
    if args.json {
        return print_json(&packed);
    }
    let rows = [
        ("device", format!("{} in {}", ui::bytes(packed.device_bytes), packed.device.display())),
        ("cloud", format!("{} in {}", ui::bytes(packed.cloud_bytes), packed.cloud.display())),
    ];
    Ok(ui::print(ui::table(&rows))?)
}
