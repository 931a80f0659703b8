//! The files of a report: `report.json` with every request, `report.md`, and its pictures.

use std::{fs, path::Path};

use serde_json::json;
use tricorn_plot::{Bar, Group, bars, cdf, waterfall};

use super::Report;
use crate::{
    cell::{Breakdown, Cell},
    error::BenchError,
    figures::{quantile, sorted},
};

/// A picture that stands beside the report.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) title: String,
    pub(crate) file: String,
    pub(crate) svg: String,
}

impl Report {
    /// Writes all files into a folder, which is made where it is missing.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), BenchError> {
        fs::create_dir_all(folder)
            .map_err(|source| BenchError::Write { file: folder.to_owned(), source })?;
        let write = |name: &str, text: &str| {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|source| BenchError::Write { file, source })
        };
        write("report.json", &format!("{:#}\n", json!({ "report": self, "cells": self.cells })))?;
        write("report.md", &self.markdown())?;
        self.pictures().iter().try_for_each(|picture| write(&picture.file, &picture.svg))
    }

    /// All pictures, in the order of the document.
    pub(super) fn pictures(&self) -> Vec<Picture> {
        let mut pictures = vec![
            self.bars("Mean time to first token", "ttft.svg", |cell| {
                cell.ttft().map(|summary| summary.mean)
            }),
            self.bars("Mean time between tokens", "tbt.svg", |cell| {
                cell.tbt().map(|summary| summary.mean)
            }),
        ];
        for load in self.loads() {
            let cells: Vec<&Cell> = self.cells.iter().filter(|cell| cell.load == load).collect();
            let of = |what: fn(&Cell) -> Vec<f64>| {
                cells.iter().map(|cell| (cell.mode.clone(), what(cell))).collect::<Vec<_>>()
            };
            let name = |title: &str| format!("{title}, load {load}");
            let note = format!("{}, {} requests a mode", self.scenario, self.settings.requests);
            let mut add = |title: String, file: String, svg: String| {
                pictures.push(Picture { title, file, svg })
            };
            let title = name("Distribution of the time to first token");
            let ttft = of(|cell| cell.samples.iter().map(|sample| sample.ttft_ms).collect());
            add(title.clone(), format!("{load}-ttft-cdf.svg"), cdf(&title, &note, "ms", &ttft));
            let title = name("Distribution of the time between tokens");
            let tbt = of(|cell| {
                cell.samples.iter().flat_map(|sample| sample.gaps_ms.iter().copied()).collect()
            });
            add(title.clone(), format!("{load}-tbt-cdf.svg"), cdf(&title, &note, "ms", &tbt));
            if let Some(request) = cells.first().and_then(|cell| median(cell)) {
                let of_request = |cell: &Cell| {
                    cell.samples.iter().find(|sample| sample.request == request)?.breakdown
                };
                let rows: Vec<_> = cells
                    .iter()
                    .filter_map(|cell| Some((cell.mode.clone(), values(&of_request(cell)?))))
                    .collect();
                let title = name("Where the time to first token went");
                let note = format!(
                    "{}, request {request}, which has the median time of {}",
                    self.scenario, cells[0].mode
                );
                let parts = Breakdown::default().parts().map(|(name, _)| name);
                let units = ("ms", "ms to first token");
                let svg = waterfall(&title, &note, units, &parts, &rows);
                add(title, format!("{load}-waterfall.svg"), svg);
            }
        }
        pictures.extend(self.extra.iter().cloned());
        pictures
    }

    fn bars(&self, title: &str, file: &str, value: impl Fn(&Cell) -> Option<f64>) -> Picture {
        let modes = self.modes();
        let groups: Vec<Group> = self
            .loads()
            .into_iter()
            .map(|load| {
                let cells = self.cells.iter().filter(|cell| cell.load == load);
                let bar = |cell: &Cell| {
                    Some(Bar {
                        index: modes.iter().position(|mode| *mode == cell.mode)?,
                        value: value(cell),
                    })
                };
                Group { name: format!("load {load}"), bars: cells.filter_map(bar).collect() }
            })
            .collect();
        let svg = bars(title, &format!("{}: {}", self.scenario, self.about), "ms", &modes, &groups);
        Picture { title: title.to_owned(), file: file.to_owned(), svg }
    }
}

/// The parts of a time to first token, in the order of [`Breakdown::parts`].
fn values(breakdown: &Breakdown) -> Vec<f64> {
    breakdown.parts().map(|(_, value)| value).to_vec()
}

/// The number of the request with the median time to first token, of those whose time is known in
/// parts.
fn median(cell: &Cell) -> Option<usize> {
    let known = || cell.samples.iter().filter(|sample| sample.breakdown.is_some());
    let middle = quantile(&sorted(known().map(|sample| sample.ttft_ms)), 0.5)?;
    known().find(|sample| sample.ttft_ms >= middle).map(|sample| sample.request)
}

#[cfg(test)]
mod tests {
    use crate::report::tests::report;

    #[test]
    fn a_folder_holds_all_that_the_document_shows() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path();
        report().write(folder).unwrap();
        let markdown = std::fs::read_to_string(folder.join("report.md")).unwrap();
        let shown: Vec<&str> =
            markdown.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
        assert!(
            shown.len() >= 4 && shown.iter().all(|file| folder.join(file).is_file()),
            "{shown:?}"
        );
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap();
        assert_eq!(json["report"]["rows"].as_array().unwrap().len(), 4);
        assert_eq!(json["cells"][0]["samples"].as_array().unwrap().len(), 4);
    }
}
