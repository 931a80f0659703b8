//! Tables for a terminal and for Markdown.

/// Cells in rows, all of the header's length.
pub(crate) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { header: header.iter().map(|&cell| cell.to_owned()).collect(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Aligned columns: the first to the left, figures to the right.
    pub(crate) fn text(&self) -> String {
        let all = || std::iter::once(&self.header).chain(&self.rows);
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                all()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells =
                row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
            format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        all().map(line).collect()
    }

    /// A Markdown table.
    pub(crate) fn markdown(&self) -> String {
        let line = |row: &Vec<String>| {
            format!(
                "| {} |\n",
                row.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | ")
            )
        };
        let rule = format!("|{}\n", "---|".repeat(self.header.len()));
        line(&self.header) + &rule + &self.rows.iter().map(line).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["mode", "ms"]);
        table.push(vec!["hat".to_owned(), "384".to_owned()]);
        table.push(vec!["u-shape".to_owned(), "9".to_owned()]);
        assert_eq!(table.text(), "  mode      ms\n  hat      384\n  u-shape    9\n");
        assert_eq!(table.markdown(), "| mode | ms |\n|---|---|\n| hat | 384 |\n| u-shape | 9 |\n");
    }
}
