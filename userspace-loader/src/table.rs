// SPDX-License-Identifier: GPL-2.0

//! Tables of text.

use std::fmt;

/// Rows of cells. All rows have the same number of cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table(pub Vec<Vec<String>>);

impl fmt::Display for Table {
    /// A line for each row. A column is as wide as its widest cell, and two spaces separate columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.0 {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &self.0 {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        let table = Table(vec![row(&["A", "LONG", "C"]), row(&["bcd", "1", ""])]);
        assert_eq!(table.to_string(), "A    LONG  C\nbcd  1\n");
        assert_eq!(Table::default().to_string(), "");
    }
}
