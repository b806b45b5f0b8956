//! The rails at the left of the text: each carries one edge from its producer down to its consumer.
//! It knows edges by number only.

use petgraph::graph::EdgeIndex;

/// The edges on their way, by column; a column is two cells wide.
#[derive(Debug, Default)]
pub(super) struct Rails {
    columns: Vec<Option<EdgeIndex>>,
}

impl Rails {
    /// Brings a stage's inputs together. Returns the stage's column and, where several came, the line that joins them.
    pub(super) fn enter(&mut self, inputs: &[EdgeIndex]) -> (usize, Option<String>) {
        let mine = |column: &Option<EdgeIndex>| column.is_some_and(|edge| inputs.contains(&edge));
        let coming: Vec<usize> = (0..self.columns.len()).filter(|&at| mine(&self.columns[at])).collect();
        let Some((&column, others)) = coming.split_first() else {
            let free = self.columns.iter().position(Option::is_none).unwrap_or(self.columns.len());
            return (free, None);
        };
        let joined = others.last().map(|&last| {
            self.line(
                |at, edge| match at {
                    at if at == column => '├',
                    at if at == last => '╯',
                    at if others.contains(&at) => '┴',
                    at if at > column && at < last => {
                        if edge {
                            '┼'
                        } else {
                            '─'
                        }
                    }
                    _ => {
                        if edge {
                            '│'
                        } else {
                            ' '
                        }
                    }
                },
                column..last,
            )
        });
        others.iter().for_each(|&at| self.columns[at] = None);
        (column, joined)
    }

    /// The line of a stage in `column`.
    pub(super) fn stage(&mut self, column: usize) -> String {
        self.reach(column);
        self.line(
            |at, edge| {
                if at == column {
                    '●'
                } else if edge {
                    '│'
                } else {
                    ' '
                }
            },
            0..0,
        )
    }

    /// The stage's first output continues in its column.
    pub(super) fn keep(&mut self, column: usize, edge: EdgeIndex) {
        self.reach(column);
        self.columns[column] = Some(edge);
    }

    /// A further output takes the next free column at the right; returns the line on which it leaves.
    pub(super) fn branch(&mut self, column: usize, edge: EdgeIndex) -> String {
        let free = (column + 1..self.columns.len()).find(|&at| self.columns[at].is_none()).unwrap_or(self.columns.len());
        self.reach(free);
        let line = self.line(
            |at, edge| match at {
                at if at == column => '├',
                at if at == free => '╮',
                at if at > column && at < free => {
                    if edge {
                        '┼'
                    } else {
                        '─'
                    }
                }
                _ => {
                    if edge {
                        '│'
                    } else {
                        ' '
                    }
                }
            },
            column..free,
        );
        self.columns[free] = Some(edge);
        line
    }

    /// The stage has no outputs.
    pub(super) fn end(&mut self, column: usize) {
        if let Some(edge) = self.columns.get_mut(column) {
            *edge = None;
        }
        while self.columns.last().is_some_and(Option::is_none) {
            self.columns.pop();
        }
    }

    /// A line on which all rails continue.
    pub(super) fn plain(&self) -> String {
        self.line(|_, edge| if edge { '│' } else { ' ' }, 0..0)
    }

    fn reach(&mut self, column: usize) {
        if self.columns.len() <= column {
            self.columns.resize(column + 1, None);
        }
    }

    /// One line; `across` are the columns after which a horizontal line runs to the next.
    fn line(&self, mark: impl Fn(usize, bool) -> char, across: std::ops::Range<usize>) -> String {
        let mut line = String::new();
        for (at, edge) in self.columns.iter().enumerate() {
            line.push(mark(at, edge.is_some()));
            line.push(if across.contains(&at) { '─' } else { ' ' });
        }
        line.trim_end().into()
    }
}
