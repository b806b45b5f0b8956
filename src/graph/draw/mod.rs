//! Drawings of a graph for people: Graphviz, SVG, Mermaid and plain text.
//! What is shown is decided once, in `view`; each format only says how. Nothing here is read back by the program.

mod ascii;
mod dot;
mod layout;
mod mermaid;
mod svg;
#[cfg(test)]
mod testing;
mod timing;
mod view;
mod words;

pub use timing::Timing;

use super::Graph;
use view::View;

/// How a graph is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Graphviz' language, for `dot -Tsvg` and the like.
    Dot,
    /// A picture that needs nothing but a browser, for light and dark pages.
    Svg,
    /// A `flowchart` for pages that render Mermaid.
    Mermaid,
    /// Text for a terminal, with rails for branches and joins.
    Ascii,
}

/// Draws a graph under a title. With the timings of a run, stages are coloured by their share of the busy time of all
/// stages, and the share is written; stages that the timings don't name stay plain.
pub fn draw(graph: &Graph, title: &str, format: Format, timings: Option<&[Timing]>) -> String {
    let view = View::new(graph, title, timings);
    match format {
        Format::Dot => dot::draw(&view),
        Format::Svg => svg::draw(&view),
        Format::Mermaid => mermaid::draw(&view),
        Format::Ascii => ascii::draw(&view),
    }
}
