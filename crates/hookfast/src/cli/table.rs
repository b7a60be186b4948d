//! Tables on standard output: columns two blanks apart, no lines. Knows nothing of what is in them.

use std::fmt;

/// A table with so many columns.
pub(super) struct Table<const COLUMNS: usize>(comfy_table::Table);

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// An empty one with these headings.
    pub(super) fn new(header: [&str; COLUMNS]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).set_header(header);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self(table)
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.0.add_row(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.trim_fmt())
    }
}
