//! The table for the terminal.

use super::{Report, Tested};
use crate::verdict::Verdict;

impl Report {
    /// A column for each runtime, then what there is to say of the first; `!` marks what differs
    /// from a conforming runtime.
    pub fn table(&self) -> String {
        let Some(first) = self.tested.first() else { return String::new() };
        let rows =
            || first.rows.iter().map(|row| (row, "")).chain(first.patched.iter().map(|row| (row, PATCHED)));
        let names = rows().map(|(row, suffix)| row.name.len() + suffix.len()).max().unwrap_or(0) + 2;
        let width = self.tested.iter().map(|tested| tested.name.len()).max().unwrap_or(0).max(12) + 2;
        let mut text = " ".repeat(names);
        for tested in &self.tested {
            text += &format!("{:<width$}", tested.name);
        }
        text.truncate(text.trim_end().len());
        for (row, suffix) in rows() {
            let mut line = format!("\n{:<names$}", format!("{}{suffix}", row.name));
            for tested in &self.tested {
                let verdict = tested.row(&row.name, !suffix.is_empty()).map_or("", |row| row.verdict.name());
                line += &format!("{verdict:<width$}");
            }
            let mark = if row.expected { "" } else { "! " };
            line += &format!("{mark}{}", shorten(row.reason.as_deref().unwrap_or_default()));
            text += line.trim_end();
        }
        text += "\n\n";
        for tested in &self.tested {
            text += &format!("{}: {}\n", tested.name, tested.sentence());
        }
        text + &format!(
            "{:.0} s, {} at a time; {}/index.html\n",
            self.seconds,
            self.jobs,
            self.output.display()
        )
    }
}

const PATCHED: &str = " (patched)";

impl Tested {
    /// The summary in words.
    pub fn sentence(&self) -> String {
        let mut text = format!("{} of {} possible passed", self.count(Verdict::Pass), self.possible());
        for row in self.rows.iter().filter(|row| row.runs.len() > 1) {
            text += &format!(", {} {} of {} runs", row.name, row.right(), row.runs.len());
        }
        text + &format!(
            ", {} failed, {} wrong passes; of {} programs {} cannot be run here and {} are broken, \
             {} of {} corrected ones passed",
            self.count(Verdict::Fail),
            self.count(Verdict::WrongPass),
            self.rows.len(),
            self.count(Verdict::NotRunnable),
            self.count(Verdict::Broken),
            self.corrected(),
            self.patched.len(),
        )
    }
}

/// One line that a terminal can show.
fn shorten(reason: &str) -> String {
    const MOST: usize = 110;
    let line = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
