//! The report in words: for a terminal, and as Markdown.

use super::{Report, Row, table::Table};
use crate::{
    Compared, Load, Mode, Summary,
    units::{bytes, percent, short},
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
            text += &self.remarks(&rows);
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
        text + &self.exactness()
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
    fn baseline(&self) -> String {
        let modes = self.modes();
        let first = modes.first().cloned().unwrap_or_default();
        modes.into_iter().find(|mode| mode == Mode::BASELINE).unwrap_or(first)
    }

    /// What a reader must know before believing these rows.
    fn remarks(&self, rows: &[&Row]) -> String {
        let mut text = String::new();
        let longest_wait = rows
            .iter()
            .filter_map(|row| row.waited_ms)
            .map(|waited| waited.mean)
            .fold(0.0, f64::max);
        let cpu = rows.iter().filter_map(|row| row.cpu_share).fold(0.0, f64::max);
        text += &format!(
            "\nWaits for the device: {} ms in the mean at most. CPU at most {}.\n",
            short(longest_wait),
            percent(cpu)
        );
        text += &self.overruns(rows);
        text += &self.counts(rows);
        for row in rows {
            if let (Mode::BASELINE, Some(share)) = (row.mode.as_str(), row.transmission_share) {
                text += &format!(
                    "{} spends {} of its time to first token on transmission.\n",
                    row.mode,
                    percent(share)
                );
            }
            if row.saturated {
                text +=
                    &format!("{}: this machine was saturated; do not use its figures.\n", row.mode);
            }
            if let Some(reason) = &row.failure {
                text += &format!(
                    "{}: {} of {} requests failed ({reason}).\n",
                    row.mode,
                    row.failed,
                    row.failed + row.answered
                );
            }
        }
        text
    }

    /// What was slower than it was made to be, so that figures are this machine's in part.
    fn overruns(&self, rows: &[&Row]) -> String {
        if !self.settings.paced {
            return String::new();
        }
        let devices: Vec<String> =
            rows.iter().map(|row| format!("{} {}", row.mode, row.overruns)).collect();
        let clouds: Vec<String> = self
            .clouds
            .iter()
            .map(|cloud| {
                format!("{} {} of {} batches", cloud.schedule, cloud.overruns, cloud.batches)
            })
            .collect();
        let clouds =
            if clouds.is_empty() { "nothing is known".to_owned() } else { clouds.join(", ") };
        format!(
            "Slower than the emulated pace: operations of devices: {}; clouds, in the whole run: \
             {clouds}.\n",
            devices.join(", ")
        )
    }

    /// Which requests figures are over, where not every mode answered every request.
    fn counts(&self, rows: &[&Row]) -> String {
        let all = self.settings.requests;
        if rows.iter().all(|row| row.answered == all) {
            return String::new();
        }
        let answered: Vec<String> = rows
            .iter()
            .map(|row| format!("{} {} ({})", row.mode, row.answered, row.shared))
            .collect();
        let bounded = rows
            .iter()
            .filter_map(|row| row.ttft_over_bound)
            .map(|over| over.count)
            .max()
            .unwrap_or_default();
        format!(
            "Not all of {all} requests were answered in every mode. Answered (of these by {base} \
             too): {}. Ratios are over those that {base} answered too, TTFT/bound and what is \
             within 10 % over the {bounded} that all modes answered.\n",
            answered.join(", "),
            base = self.baseline(),
        )
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

    /// How many texts are the whole model's; no text is right that was not compared.
    fn exactness(&self) -> String {
        let Some(Compared { planned, done }) = self.compared else {
            return match self.mismatches.first() {
                Some(first) => format!(
                    "\n{} texts are not what they should be. The first: {first}.\n",
                    self.mismatches.len()
                ),
                None if self.findings.is_empty() => {
                    "\nTexts were not compared with the whole model's; --check does.\n".to_owned()
                }
                // Not every sweep compares them when asked.
                None => "\nTexts were not compared with the whole model's.\n".to_owned(),
            };
        };
        let verdict = match self.mismatches.first() {
            Some(first) => {
                format!("{} are not the whole model's. The first: {first}", self.mismatches.len())
            }
            None if done == 0 => "nothing is known of them".to_owned(),
            None => "all equal to the whole model's, token for token".to_owned(),
        };
        let rest = match (done < planned, self.partial) {
            (false, _) => "",
            (true, true) => " The others were not written: the run was stopped.",
            (true, false) => " The others have no text: their requests failed.",
        };
        format!("\n{done} of {planned} texts compared, {verdict}.{rest}\n")
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{CloudLoad, report::tests::report};

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
    fn the_share_of_transmission_is_said_of_u_shape_alone() {
        let mut report = report();
        report.rows.iter_mut().for_each(|row| row.transmission_share = Some(0.654));
        let (text, markdown) = (report.text(), report.markdown());
        for said in [text, markdown] {
            assert!(
                said.contains(
                    "\nu-shape spends 65 % of its time to first token on transmission.\n"
                ),
                "{said}"
            );
            assert_eq!(said.matches("on transmission").count(), 1, "{said}");
        }
    }

    #[test]
    fn counts_are_said_where_not_all_was_answered() {
        let mut report = report();
        assert!(!report.text().contains("Not all of"));
        (report.rows[3].answered, report.rows[3].shared) = (3, 2);
        let text = report.text();
        assert!(
            text.contains("Not all of 4 requests")
                && text.contains("u-shape 4 (4), ")
                && text.contains("hat 3 (2). Ratios"),
            "{text}"
        );
    }

    #[test]
    fn overruns_of_a_pace_are_said() {
        let mut report = report();
        report.rows[3].overruns = 7;
        report.clouds = vec![CloudLoad { schedule: "chunked", batches: 90, overruns: 2 }];
        let text = report.text();
        assert!(
            text.contains(", hat 7; clouds, in the whole run: chunked 2 of 90 batches.\n"),
            "{text}"
        );
        report.settings.paced = false;
        assert!(!report.text().contains("emulated pace:"));
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

    #[test]
    fn only_texts_that_were_compared_are_called_equal() {
        let mut report = report();
        let mut said = |planned, done, partial| {
            (report.compared, report.partial) = (Some(Compared { planned, done }), partial);
            report.text()
        };
        assert!(said(8, 8, false).ends_with(
            "8 of 8 texts compared, all equal to the whole model's, token for token.\n"
        ));
        assert!(
            said(8, 5, true).contains("5 of 8 texts compared, all equal")
                && said(8, 5, true).contains("the run was stopped")
        );
        assert!(
            said(8, 5, false).contains("5 of 8 texts compared, all equal")
                && said(8, 5, false).contains("their requests failed")
        );
        let nothing = said(8, 0, true);
        assert!(
            nothing.contains("0 of 8 texts compared, nothing is known")
                && !nothing.contains("equal"),
            "{nothing}"
        );
    }

    #[test]
    fn a_difference_is_named() {
        let mut report = report();
        report.compared = Some(Compared { planned: 4, done: 4 });
        let mismatch = crate::Mismatch {
            mode: "hat".into(),
            load: "mid".into(),
            request: 3,
            at: 7,
            expected: Some(5),
            got: None,
        };
        report.mismatches.push(mismatch);
        let text = report.text();
        assert!(text.contains("4 of 4 texts compared, 1 are not the whole model's"), "{text}");
        assert!(
            text.contains("mode hat, load mid, request 3, token 7: the end in place of 5"),
            "{text}"
        );
    }
}
