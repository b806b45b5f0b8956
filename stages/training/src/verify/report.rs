//! The result of a comparison: one row per figure, and the printed table.
//! It computes nothing.

use std::fmt;

/// How an error is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The L2 norm of the difference over the L2 norm of the reference.
    RelativeL2,
    /// The largest difference of any value.
    Absolute,
    /// The largest difference relative to the reference.
    Relative,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RelativeL2 => "relative L2",
            Self::Absolute => "absolute",
            Self::Relative => "relative",
        })
    }
}

/// One figure that was compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The group it belongs to: `logits`, `loss`, `grad`, `full.losses`, `full.weights`, ...
    pub group: String,
    /// Which figure of the group: a tensor's name, or a step.
    pub figure: String,
    /// The difference from the reference, measured as `kind` says. Infinite when either value is NaN.
    pub error: f64,
    /// The largest error allowed.
    pub tolerance: f64,
    /// How the error is measured.
    pub kind: Kind,
}

impl Row {
    /// True when the error is within the tolerance.
    pub fn ok(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// All compared figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What was compared, in words: network, device.
    pub about: String,
    /// Every figure.
    pub rows: Vec<Row>,
}

impl Report {
    /// True when every figure is within its tolerance.
    pub fn ok(&self) -> bool {
        self.rows.iter().all(Row::ok)
    }

    /// The worst row of each group with the group's number of rows, in the order of the groups.
    pub fn worst(&self) -> Vec<(&Row, usize)> {
        let mut groups: Vec<(&Row, usize)> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|(worst, _)| worst.group == row.group) {
                Some((worst, count)) => {
                    *count += 1;
                    if row.error > worst.error {
                        *worst = row;
                    }
                }
                None => groups.push((row, 1)),
            }
        }
        groups
    }

    /// The table with every row instead of the worst of each group.
    pub fn all(&self) -> impl fmt::Display {
        Table { about: &self.about, rows: self.rows.iter().map(|row| (row, 1)).collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Table { about: &self.about, rows: self.worst() }.fmt(f)
    }
}

struct Table<'a> {
    about: &'a str,
    rows: Vec<(&'a Row, usize)>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.about)?;
        writeln!(f, "{:<4}  {:<14}  {:>8}  {:>9}  {:<11}  figure", "", "group", "error", "tolerance", "measure")?;
        for (row, count) in &self.rows {
            let verdict = if row.ok() { "ok" } else { "FAIL" };
            let figure = if *count > 1 { format!("{} (worst of {count})", row.figure) } else { row.figure.clone() };
            writeln!(
                f,
                "{verdict:<4}  {:<14}  {:>8.1e}  {:>9.0e}  {:<11}  {figure}",
                row.group, row.error, row.tolerance, row.kind
            )?;
        }
        Ok(())
    }
}
