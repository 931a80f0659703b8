//! `tricorn pack`

use super::{print_json, resolve};
use crate::{args::PackArgs, bundled, error::CliError, ui};

pub(crate) fn run(args: &PackArgs) -> Result<(), CliError> {
    let source = bundled::open(&args.model)?;
    let split = resolve(&source, args.split)?;
    if std::fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(CliError::NotEmpty(args.out.clone()));
    }
    let packed = tricorn_model::pack::pack(&source, split, &args.out)?;
    if args.json {
        return print_json(&packed);
    }
    let rows = [
        ("device", format!("{} in {}", ui::bytes(packed.device_bytes), packed.device.display())),
        ("cloud", format!("{} in {}", ui::bytes(packed.cloud_bytes), packed.cloud.display())),
    ];
    Ok(ui::print(ui::table(&rows))?)
}
