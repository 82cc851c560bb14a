//! The Markdown that results are kept in.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

/// A table whose first column reads left and whose others read right.
#[derive(Clone, Debug)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    #[must_use]
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|cell| (*cell).to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Short rows are filled up, long ones are cut: a table always renders.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells
            .into_iter()
            .map(|cell| cell.into().replace('|', "\\|"))
            .collect();
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }

    #[must_use]
    pub fn render(&self) -> String {
        let mut out = format!("| {} |\n|", self.head.join(" | "));
        for column in 0..self.head.len() {
            out.push_str(if column == 0 { "---|" } else { "--:|" });
        }
        out.push('\n');
        for row in &self.rows {
            let _ = writeln!(out, "| {} |", row.join(" | "));
        }
        out
    }
}

/// A report: a title, where and when it was taken, then text and tables.
#[derive(Clone, Debug, Default)]
pub struct Report {
    text: String,
}

impl Report {
    #[must_use]
    pub fn new(title: &str, taken: &crate::machine::Moment) -> Self {
        let mut report = Self::default();
        let _ = write!(report.text, "# {title}\n\n{taken}\n");
        report
    }

    pub fn section(&mut self, title: &str) {
        let _ = write!(self.text, "\n## {title}\n");
    }

    pub fn paragraph(&mut self, text: &str) {
        let _ = write!(self.text, "\n{text}\n");
    }

    pub fn table(&mut self, table: &Table) {
        let _ = write!(self.text, "\n{}", table.render());
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// # Errors
    /// The folder or the file cannot be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        std::fs::write(path, &self.text).with_context(|| format!("write {}", path.display()))
    }
}

/// A figure in at most four significant digits.
#[must_use]
pub fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 100.0 || value == 0.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

/// Seconds as milliseconds.
#[must_use]
pub fn ms(seconds: f64) -> String {
    figure(seconds * 1e3)
}

/// A ratio with its interval: `12.3× (11.9 – 12.8)`.
#[must_use]
pub fn times(interval: crate::stats::Interval) -> String {
    format!(
        "{}× ({} – {})",
        figure(interval.estimate),
        figure(interval.low),
        figure(interval.high)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_take_the_width_of_the_head() {
        let mut table = Table::new(&["what", "ms"]);
        table.row(["a|b"]);
        table.row(["c", "1", "too many"]);
        assert_eq!(
            table.render(),
            "| what | ms |\n|---|--:|\n| a\\|b |  |\n| c | 1 |\n"
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(figure(1234.5), "1234");
        assert_eq!(figure(12.345), "12.3");
        assert_eq!(figure(1.2345), "1.23");
        assert_eq!(figure(0.12345), "0.123");
        assert_eq!(ms(0.0041), "4.10");
    }
}
