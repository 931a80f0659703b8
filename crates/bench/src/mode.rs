//! Modes: the methods that are compared, as settings of the same program, so that kernels,
//! scheduler and wire are the same for all.

use tricorn_core::{ChunkPolicy, HiddenCodec, Schedule, Streaming};
use tricorn_model::DrafterKind;

use crate::error::BenchError;

/// One method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Its name on the command line and in reports.
    pub name: String,
    /// How the cloud mixes prompts with verifications; a cloud process has one schedule.
    pub schedule: Schedule,
    /// How the prompt is cut for its upload.
    pub chunk: ChunkPolicy,
    /// How the device drafts.
    pub drafts: Option<Drafts>,
    /// How hidden rows are written on the wire: as in the paper, unless the mode says otherwise.
    pub codec: HiddenCodec,
}

/// How a device drafts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drafts {
    /// The drafter.
    pub kind: DrafterKind,
    /// Branches that are drafted on while a verification is out; 0 for none.
    pub parallel: usize,
    /// When a round's rows go up one by one.
    pub streaming: Streaming,
}

/// Branches of parallel drafting.
const BRANCHES: usize = 4;
/// What a mode's name ends in when its rows are coded.
const CODED: &str = "-coded";
const HAT: Drafts =
    Drafts { kind: DrafterKind::Hat, parallel: BRANCHES, streaming: Streaming::Auto };

impl Mode {
    /// The modes of a comparison, in the order of reports. `fixed-N` (chunks of N rows, no drafts)
    /// are modes too, and any mode's name with `-coded` after it.
    pub const NAMES: [&str; 9] = [
        "u-shape",
        "u-sarathi",
        "+chunks",
        "+chunks+drafts",
        "hat",
        "hat-no-chunks",
        "hat-fused",
        "u-shape-coded",
        "hat-coded",
    ];
    /// What ratios are against.
    pub const BASELINE: &str = "u-shape";

    /// The mode of this name.
    ///
    /// # Errors
    /// When there is none; the error lists them.
    pub fn named(name: &str) -> Result<Self, BenchError> {
        use {ChunkPolicy as Chunk, Schedule as Cloud};
        let (method, codec) = name
            .strip_suffix(CODED)
            .map_or((name, HiddenCodec::F16), |method| (method, HiddenCodec::F16z));
        let sequential = Drafts { parallel: 0, ..HAT };
        let (schedule, chunk, drafts) = match method {
            "u-shape" => (Cloud::Whole, Chunk::Whole, None),
            "u-sarathi" => (Cloud::Chunked, Chunk::Whole, None),
            "+chunks" => (Cloud::Chunked, Chunk::Dynamic, None),
            "+chunks+drafts" => (Cloud::Chunked, Chunk::Dynamic, Some(sequential)),
            "hat" => (Cloud::Chunked, Chunk::Dynamic, Some(HAT)),
            "hat-no-chunks" => (Cloud::Chunked, Chunk::Whole, Some(HAT)),
            "hat-fused" => {
                (Cloud::Chunked, Chunk::Dynamic, Some(Drafts { kind: DrafterKind::Fused, ..HAT }))
            }
            _ => match method.strip_prefix("fixed-").and_then(|rows| rows.parse().ok()) {
                Some(rows) if rows > 0 => (Cloud::Chunked, Chunk::Fixed(rows), None),
                _ => {
                    let known = format!(
                        "{}, fixed-N (N rows a chunk), any with {CODED} (coded rows)",
                        Self::NAMES.join(", ")
                    );
                    return Err(BenchError::Unknown { what: "mode", name: name.to_owned(), known });
                }
            },
        };
        Ok(Self { name: name.to_owned(), schedule, chunk, drafts, codec })
    }

    /// This mode under another name with other drafts.
    #[must_use]
    pub(crate) fn with(self, name: &str, change: impl FnOnce(&mut Drafts)) -> Self {
        let mut drafts = self.drafts;
        if let Some(drafts) = &mut drafts {
            change(drafts);
        }
        Self { name: name.to_owned(), drafts, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_mode_of_its_own() {
        let modes: Vec<Mode> = Mode::NAMES
            .iter()
            .chain(&["fixed-64", "+chunks-coded"])
            .map(|name| Mode::named(name).unwrap())
            .collect();
        for (index, mode) in modes.iter().enumerate() {
            let same = |other: &&Mode| {
                (other.schedule, other.chunk, other.drafts, other.codec)
                    == (mode.schedule, mode.chunk, mode.drafts, mode.codec)
            };
            assert_eq!(modes.iter().filter(same).count(), 1, "{index}: {mode:?}");
        }
        assert!(Mode::NAMES.contains(&Mode::BASELINE));
    }

    #[test]
    fn other_names_are_refused_with_the_list() {
        for name in [
            "",
            "hut",
            "fixed-",
            "fixed-0",
            "fixed--1",
            "fixed-x",
            "-coded",
            "hut-coded",
            "hat-coded-coded",
        ] {
            let error = Mode::named(name).unwrap_err().to_string();
            assert!(error.contains(&format!("`{name}`")) && error.contains("u-sarathi"), "{error}");
        }
    }
}
