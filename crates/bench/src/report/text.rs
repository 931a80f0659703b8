//! Text of a report: for a terminal, and as Markdown.

use super::{Report, Row, remarks};
use crate::{
    figures::{Summary, Table, bytes, percent, short},
    mode::Mode,
    scenario::Load,
};

/// The paper's ablation on Vicuna-7B: mean TTFT and TBT in ms (HAT, arXiv 2503.18989), for the
/// modes that stand for its rows.
const PAPER_ABLATION: [(&str, f64, f64); 4] = [
    ("u-shape", 656.0, 52.3),
    ("+chunks", 384.0, 39.4),
    ("+chunks+drafts", 384.0, 30.6),
    ("hat", 384.0, 26.4),
];

const PAPER_SCENARIO: &str = "paper-proportions";

const ONE_BLOCK: &str = "Warning: there was one block, so every mode had one turn, in the order \
                         of the table: a drift of this machine looks like a difference between \
                         modes.\n";

const HEADER: [&str; 19] = [
    "mode",
    "TTFT ms",
    "p50",
    "p90",
    "p99",
    "ratio",
    "TBT ms",
    "p50",
    "p90",
    "p99",
    "ratio",
    "pause p50",
    "pause p99",
    "tok/round",
    "up",
    "down",
    "in SLO",
    "TTFT/bound",
    "in 10 %",
];

impl Report {
    /// Everything that a person at a terminal wants to know.
    #[must_use]
    pub fn text(&self) -> String {
        self.written(Table::text, |title| format!("\n{title}\n"))
    }

    /// The same as a document, with its pictures.
    #[must_use]
    pub fn markdown(&self) -> String {
        let pictures: String = self
            .pictures()
            .iter()
            .map(|picture| format!("\n![{}]({})\n", picture.title, picture.file))
            .collect();
        format!(
            "# {}\n\n{}{pictures}",
            self.scenario,
            self.written(Table::markdown, |title| format!("\n## {title}\n\n"))
        )
    }

    fn written(&self, table: fn(&Table) -> String, heading: fn(&str) -> String) -> String {
        let mut text = format!("{}: {}.\n{}\n", self.scenario, self.about, self.method());
        if self.partial {
            text += "Stopped before its end: the figures are of the requests that were done.\n";
        }
        if self.settings.blocks == 1 && self.modes().len() > 1 {
            text += ONE_BLOCK;
        }
        for load in self.loads() {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.load == load).collect();
            let rate = rows.first().map_or(0.0, |row| row.rate);
            text += &heading(&format!("Load {load}: {} requests/s", short(rate)));
            text += &table(&main_table(&rows));
            text += &remarks::of_load(self, &rows);
        }
        if let Some((load, ablation)) = self.ablation() {
            text +=
                &heading(&format!("Ablation under load {load}, beside the paper's on Vicuna-7B"));
            text += &table(&ablation);
        }
        if !self.findings.is_empty() {
            text += &heading("Findings");
            self.findings.iter().for_each(|finding| text += &format!("- {finding}\n"));
        }
        text + &remarks::exactness(self)
    }

    fn method(&self) -> String {
        let s = &self.settings;
        format!(
            "{} requests a cell in {}, {} new tokens, {} devices, link {}, seed {}. Objective: \
             TTFT within {} ms and mean TBT within {} ms. Ratios are to {}; TTFT counts from when \
             the device turns to the request.",
            s.requests,
            if s.blocks == 1 { "one block".to_owned() } else { format!("{} blocks", s.blocks) },
            s.max_new_tokens,
            s.devices,
            s.link,
            s.seed,
            short(s.slo.ttft),
            short(s.slo.tbt),
            self.baseline()
        )
    }

    /// The mode that ratios are to.
    pub(super) fn baseline(&self) -> String {
        let modes = self.modes();
        let first = modes.first().cloned().unwrap_or_default();
        modes.into_iter().find(|mode| mode == Mode::BASELINE).unwrap_or(first)
    }

    /// A load and the paper's ablation table under it, in its own scenario and where all its rows
    /// were measured.
    fn ablation(&self) -> Option<(&str, Table)> {
        if self.scenario != PAPER_SCENARIO {
            return None;
        }
        let loads = self.loads();
        let middle = Load::Middle.name();
        let load = if loads.contains(&middle) { middle } else { *loads.get(loads.len() / 2)? };
        let mut table = Table::new(&[
            "mode", "TTFT ms", "ratio", "paper ms", "ratio", "TBT ms", "ratio", "paper ms", "ratio",
        ]);
        let (_, base_ttft, base_tbt) = PAPER_ABLATION[0];
        for (mode, ttft, tbt) in PAPER_ABLATION {
            let row = self.rows.iter().find(|row| row.mode == mode && row.load == load)?;
            let cells =
                [row.ttft_ms.map(|s| s.mean), row.ttft_ratio, Some(ttft), Some(ttft / base_ttft)];
            let more = [row.tbt_ms.map(|s| s.mean), row.tbt_ratio, Some(tbt), Some(tbt / base_tbt)];
            table.push(
                std::iter::once(mode.to_owned())
                    .chain(cells.into_iter().chain(more).map(figure))
                    .collect(),
            );
        }
        Some((load, table))
    }
}

fn main_table(rows: &[&Row]) -> Table {
    let mut table = Table::new(&HEADER);
    for row in rows {
        let spread = |summary: Option<Summary>| {
            [|s: Summary| s.mean, |s: Summary| s.p50, |s: Summary| s.p90, |s: Summary| s.p99]
                .map(|f| figure(summary.map(f)))
        };
        let mut cells = vec![row.mode.clone()];
        cells.extend(spread(row.ttft_ms));
        cells.push(figure(row.ttft_ratio));
        cells.extend(spread(row.tbt_ms));
        cells.extend([
            figure(row.tbt_ratio),
            figure(row.pause_ms.map(|s| s.p50)),
            figure(row.pause_ms.map(|s| s.p99)),
        ]);
        cells.extend([figure(row.tokens_per_round), bytes(row.bytes_up), bytes(row.bytes_down)]);
        cells.push(row.slo_attainment.map_or("-".to_owned(), percent));
        cells.push(figure(row.mean_ttft_over_bound));
        cells.push(row.within_tenth_of_bound.map_or("-".to_owned(), percent));
        table.push(cells);
    }
    table
}

fn figure(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), short)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_report_says_how_far_it_can_be_trusted() {
        let report = report();
        let (text, markdown) = (report.text(), report.markdown());
        assert!(
            text.contains("Load mid: 0.50 requests/s") && text.contains("not compared"),
            "{text}"
        );
        assert!(
            markdown.contains("| mode | TTFT ms |") && markdown.contains("](mid-ttft"),
            "{markdown}"
        );
        assert!(text.contains("Ablation under load mid") && text.contains("656"), "{text}");
        let partial = Report { partial: true, ..report }.text();
        assert!(partial.contains("Stopped before its end"), "{partial}");
    }

    #[test]
    fn the_ablation_is_of_the_middle_load_by_name_or_else_by_place() {
        let mut report = report();
        let under = |load: &str, rows: &[Row]| {
            rows.iter().map(|row| Row { load: load.to_owned(), ..row.clone() }).collect::<Vec<_>>()
        };
        let rows = report.rows.clone();
        report.rows = [rows.clone(), under("high", &rows)].concat();
        assert!(report.text().contains("Ablation under load mid"));
        report.rows = [under("low", &rows), under("high", &rows)].concat();
        assert!(report.text().contains("Ablation under load high"));
    }

    #[test]
    fn one_block_is_warned_of() {
        let mut report = report();
        assert!(
            report.text().contains("4 requests a cell in 3 blocks")
                && !report.text().contains("Warning")
        );
        report.settings.blocks = 1;
        assert!(report.text().contains("Warning: there was one block"));
        report.rows.truncate(1);
        assert!(!report.text().contains("Warning"), "one mode is compared with none");
    }
}
