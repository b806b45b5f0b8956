//! Mermaid's flowchart: lanes as subgraphs, for pages that render it.
//! Mermaid places everything; ids are numbers here, since words such as `end` break its grammar.

use std::fmt::Write;

use petgraph::visit::EdgeRef;

use super::dot::{colours, heat};
use super::view::View;
use super::words::{percent, printable};

pub(super) fn draw(view: &View) -> String {
    let mut out = format!("---\ntitle: \"{}\"\n---\nflowchart TB\n", yaml(view.title));
    let mut styles = String::new();
    for (index, lane) in view.graph.lanes.iter().enumerate() {
        // Writing into a String can't fail.
        let _ = writeln!(out, "  subgraph lane{index}[\"{}\"]", text(&view.caption(lane)));
        for &node in &lane.stages {
            let mut label = format!("<b>{}</b>", text(view.id(node)));
            if let Some(share) = view.share(node) {
                let _ = write!(label, " {}", percent(share));
                let _ = writeln!(styles, "  style n{} fill:{},color:#1f2937", node.index(), heat(share));
            }
            if let Some(kind) = view.kind(node) {
                let _ = write!(label, "<br>{}", text(kind));
            }
            for line in view.options(node).chunks(2).take(2) {
                let _ = write!(label, "<br><small>{}</small>", text(&line.join(", ")));
            }
            let _ = writeln!(out, "    n{}([\"{label}\"])", node.index());
        }
        out.push_str("  end\n");
        let (fill, line) = colours(lane.kind);
        let _ = writeln!(styles, "  style lane{index} fill:{fill},stroke:{line},color:{line}");
    }
    for edge in view.graph.dag.edge_references() {
        let (from, to) = (edge.source().index(), edge.target().index());
        let _ = writeln!(out, "  n{from} -->|\"{}\"| n{to}", text(&view.label(edge.id())));
    }
    out + &styles
}

/// Text within Mermaid's quotes: what its grammar, its Markdown and HTML would read becomes an entity by number.
fn text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '"' | '#' | '&' | '<' | '>' | ';' | '`' | '*' | '\\' | '$' | '{' | '}' | '[' | ']' | '|' => {
                let _ = write!(escaped, "#{};", c as u32);
            }
            c => escaped.push(c),
        }
    }
    // A label without visible characters is refused.
    if escaped.trim().is_empty() { "#160;".into() } else { escaped }
}

fn yaml(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::{Format, draw};

    #[test]
    fn lanes_are_subgraphs() {
        let text = draw(&testing::fives(), "fives", Format::Mermaid, None);
        assert!(text.starts_with("---\ntitle: \"fives\"\n---\nflowchart TB\n"));
        assert_eq!(text.matches("  subgraph ").count(), 4);
        assert_eq!(text.matches("\n  end\n").count(), 4);
        assert_eq!(text.matches("-->").count(), 8);
        assert!(text.contains("image_pair  ≤4, 256 MiB"), "{text}");
    }

    #[test]
    fn ids_can_not_break_the_grammar() {
        let text = draw(&testing::chain(&["end", "a\"b", "<b>", "x]|y", ""]), "say \"hi\"", Format::Mermaid, None);
        assert!(text.contains("title: \"say \\\"hi\\\"\""));
        assert!(text.contains("n0([\"<b>end</b>"));
        assert!(
            text.contains("a#34;b")
                && text.contains("#60;b#62;")
                && text.contains("x#93;#124;y")
                && text.contains("<b>#160;</b>")
        );
    }

    #[test]
    fn timings_colour_the_stages() {
        let text = draw(&testing::fives(), "fives", Format::Mermaid, Some(&testing::timings()));
        assert!(text.contains("style n5 fill:#") && text.contains("<b>train</b> 7"), "{text}");
    }
}
