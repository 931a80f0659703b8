//! Remarks below a report's tables: how far its figures can be trusted.

use super::{Report, Row};
use crate::{
    compare::Compared,
    figures::{percent, short},
    mode::Mode,
};

/// What a reader must know before believing these rows.
pub(super) fn of_load(report: &Report, rows: &[&Row]) -> String {
    let mut text = String::new();
    let longest_wait =
        rows.iter().filter_map(|row| row.waited_ms).map(|waited| waited.mean).fold(0.0, f64::max);
    let cpu = rows.iter().filter_map(|row| row.cpu_share).fold(0.0, f64::max);
    text += &format!(
        "\nWaits for the device: {} ms in the mean at most. CPU at most {}.\n",
        short(longest_wait),
        percent(cpu)
    );
    text += &overruns(report, rows);
    text += &counts(report, rows);
    for row in rows {
        if let (Mode::BASELINE, Some(share)) = (row.mode.as_str(), row.transmission_share) {
            text += &format!(
                "{} spends {} of its time to first token on transmission.\n",
                row.mode,
                percent(share)
            );
        }
        if row.saturated {
            text += &format!("{}: this machine was saturated; do not use its figures.\n", row.mode);
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
fn overruns(report: &Report, rows: &[&Row]) -> String {
    if !report.settings.paced {
        return String::new();
    }
    let devices: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.mode, row.overruns)).collect();
    let clouds: Vec<String> = report
        .clouds
        .iter()
        .map(|cloud| format!("{} {} of {} batches", cloud.schedule, cloud.overruns, cloud.batches))
        .collect();
    let clouds = if clouds.is_empty() { "nothing is known".to_owned() } else { clouds.join(", ") };
    format!(
        "Slower than the emulated pace: operations of devices: {}; clouds, in the whole run: \
         {clouds}.\n",
        devices.join(", ")
    )
}

/// Which requests figures are over, where not every mode answered every request.
fn counts(report: &Report, rows: &[&Row]) -> String {
    let all = report.settings.requests;
    if rows.iter().all(|row| row.answered == all) {
        return String::new();
    }
    let answered: Vec<String> =
        rows.iter().map(|row| format!("{} {} ({})", row.mode, row.answered, row.shared)).collect();
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
        base = report.baseline(),
    )
}

/// How many texts are the whole model's; no text is right that was not compared.
pub(super) fn exactness(report: &Report) -> String {
    let Some(Compared { planned, done }) = report.compared else {
        return match report.mismatches.first() {
            Some(first) => format!(
                "\n{} texts are not what they should be. The first: {first}.\n",
                report.mismatches.len()
            ),
            None if report.findings.is_empty() => {
                "\nTexts were not compared with the whole model's; --check does.\n".to_owned()
            }
            // Not every sweep compares them when asked.
            None => "\nTexts were not compared with the whole model's.\n".to_owned(),
        };
    };
    let verdict = match report.mismatches.first() {
        Some(first) => {
            format!("{} are not the whole model's. The first: {first}", report.mismatches.len())
        }
        None if done == 0 => "nothing is known of them".to_owned(),
        None => "all equal to the whole model's, token for token".to_owned(),
    };
    let rest = match (done < planned, report.partial) {
        (false, _) => "",
        (true, true) => " The others were not written: the run was stopped.",
        (true, false) => " The others have no text: their requests failed.",
    };
    format!("\n{done} of {planned} texts compared, {verdict}.{rest}\n")
}

#[cfg(test)]
mod tests {
    use crate::{
        compare::{Compared, Mismatch},
        fleet::CloudLoad,
        report::tests::report,
    };

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
        let mismatch = Mismatch {
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
