//! Graphviz' language: lanes as clusters, one statement a line.
//! It places nothing; that is Graphviz' work.

use std::fmt::Write;

use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use pipeline_contract::Lane as LaneKind;

use super::view::View;
use super::words::{percent, printable, xml};

pub(super) fn draw(view: &View) -> String {
    let mut out = String::from("digraph pipeline {\n");
    let title = format!(
        "<<b>{}</b><br align=\"left\"/><font point-size=\"10\" color=\"#6b7280\">{}</font><br align=\"left\"/>>",
        filled(view.title),
        html(&view.summary())
    );
    // Writing into a String can't fail.
    let _ = writeln!(
        out,
        "  graph [label={title}, labelloc=t, labeljust=l, fontname=\"Helvetica\", fontsize=14, rankdir=TB, nodesep=0.35, ranksep=0.4, pad=0.3]"
    );
    out.push_str("  node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\", color=\"#9ca3af\", fontname=\"Helvetica\", fontsize=12, margin=\"0.12,0.03\"]\n");
    out.push_str("  edge [color=\"#6b7280\", fontname=\"Helvetica\", fontsize=9, fontcolor=\"#4b5563\", arrowsize=0.7]\n");
    for (index, lane) in view.graph.lanes.iter().enumerate() {
        let (fill, line) = colours(lane.kind);
        let _ = writeln!(out, "  subgraph cluster_{index} {{");
        let _ = writeln!(
            out,
            "    graph [label=\"{}\", labeljust=l, fontsize=10, fontcolor=\"{line}\", style=\"rounded,filled\", fillcolor=\"{fill}\", color=\"{line}\", margin=12]",
            quoted(&view.caption(lane))
        );
        for &node in &lane.stages {
            let _ = writeln!(out, "    n{} [{}]", node.index(), node_attributes(view, node));
        }
        out.push_str("  }\n");
    }
    for edge in view.graph.dag.edge_references() {
        let (from, to) = (edge.source().index(), edge.target().index());
        let label = quoted(&view.label(edge.id()));
        // A call within a lane queues nothing: thinner, and only what flows.
        let style = if edge.weight().bound.is_some() { "" } else { ", penwidth=0.8, fontcolor=\"#9ca3af\", tooltip=\"call\"" };
        let _ = writeln!(out, "  n{from} -> n{to} [label=\"  {label}\"{style}]");
    }
    out.push_str("}\n");
    out
}

fn node_attributes(view: &View, node: NodeIndex) -> String {
    let share = view.share(node);
    let mut label = format!("<tr><td><b>{}</b>", filled(view.id(node)));
    if let Some(share) = share {
        let _ = write!(label, "  {}", percent(share));
    }
    label.push_str("</td></tr>");
    let mut small = |text: &str| {
        let _ = write!(label, "<tr><td><font point-size=\"9\" color=\"#374151\">{}</font></td></tr>", html(text));
    };
    view.kind(node).into_iter().for_each(&mut small);
    view.options(node).chunks(2).take(2).for_each(|line| small(&line.join(", ")));
    let table = format!("<table border=\"0\" cellspacing=\"0\" cellpadding=\"1\">{label}</table>");
    let fill = share.map(|share| format!(", fillcolor=\"{}\"", heat(share))).unwrap_or_default();
    format!("label=<{table}>, tooltip=\"{}\"{fill}", quoted(view.graph.dag[node].kind.doc))
}

/// White to orange by share of busy time; the root spreads the small shares, where the differences are.
pub(super) fn heat(share: f64) -> String {
    let t = share.clamp(0.0, 1.0).sqrt() * 0.8;
    let mix = |to: f64| (255.0 + (to - 255.0) * t).round() as u8;
    format!("#{:02x}{:02x}{:02x}", mix(232.0), mix(89.0), mix(12.0))
}

/// Fill and line of a lane's box.
pub(super) fn colours(lane: LaneKind) -> (&'static str, &'static str) {
    match lane {
        LaneKind::Source => ("#f0fdf4", "#15803d"),
        LaneKind::Workers => ("#eff6ff", "#1d4ed8"),
        LaneKind::Sequential => ("#f3f4f6", "#4b5563"),
        LaneKind::Device => ("#faf5ff", "#7e22ce"),
    }
}

/// Text of an HTML-like label, which Graphviz refuses when it is empty.
fn filled(text: &str) -> String {
    if text.trim().is_empty() { "&#160;".into() } else { html(text) }
}

/// Graphviz reads `\N` and the like in HTML-like labels too.
fn html(text: &str) -> String {
    xml(text).replace('\\', "&#92;&#92;")
}

fn quoted(text: &str) -> String {
    // Graphviz reads `\n`, `\l`, `\N` and the like in a quoted label, and entities as well.
    printable(text).replace('\\', "\\\\").replace('"', "\\\"").replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::super::testing;
    use super::super::{Format, draw};

    /// Runs Graphviz over `text`; `None` where it isn't installed.
    fn graphviz(text: &str) -> Option<String> {
        let mut dot = match Command::new("dot")
            .arg("-Tsvg")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        {
            Ok(dot) => dot,
            Err(error) => {
                eprintln!("skipped: Graphviz can't be run: {error}");
                return None;
            }
        };
        dot.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let done = dot.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success() && errors.is_empty(), "Graphviz says: {errors}\n{text}");
        Some(String::from_utf8(done.stdout).unwrap())
    }

    #[test]
    fn lanes_are_clusters_and_edges_carry_their_bounds() {
        let text = draw(&testing::fives(), "fives", Format::Dot, None);
        assert_eq!(text.matches("subgraph cluster_").count(), 4);
        assert!(text.contains("decode+resize+augment · 4 workers"), "{text}");
        assert!(text.contains("image_pair  ≤4, 256 MiB"), "{text}");
        assert!(text.contains("tooltip=\"call\""), "{text}");
    }

    #[test]
    fn graphviz_accepts_every_graph() {
        for (name, graph, timings) in testing::all() {
            let Some(svg) = graphviz(&draw(&graph, name, Format::Dot, timings.as_deref())) else { return };
            assert_eq!(svg.matches("class=\"node\"").count(), graph.dag.node_count(), "{name}");
        }
    }

    #[test]
    fn graphviz_shows_hostile_names_as_they_are() {
        let graph = testing::chain(&["a\"b", "<i>&amp;", "end", "\\N\\", "graph", "", "日本"]);
        let Some(svg) = graphviz(&draw(&graph, "t\"<\\>&", Format::Dot, None)) else { return };
        for shown in ["a&quot;b", "&lt;i&gt;&amp;amp;", "\\N\\", "日本", "t&quot;&lt;\\&gt;&amp;"] {
            assert!(svg.contains(&format!(">{shown}<")), "{shown} is not in {svg}");
        }
    }
}
