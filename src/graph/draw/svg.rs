//! A picture for browsers and READMEs, in light and dark, without Graphviz and without anything from elsewhere.
//! Where things are is `layout`'s matter; here are sizes of text, colours and shapes.

use std::fmt::Write;

use petgraph::graph::{EdgeIndex, NodeIndex};
use pipeline_contract::Lane as LaneKind;

use super::layout::{Layout, Rect, Sizes, layout};
use super::view::View;
use super::words::{ems, percent, shorten, xml};

const STYLE: &str = include_str!("svg.css");
/// Around the drawing.
const MARGIN: f64 = 24.0;
/// The title and the line under it.
const HEADING: f64 = 52.0;
/// The distance of the lines of text in a stage.
const LINE: f64 = 15.0;
const ID: f64 = 13.0;
const SMALL: f64 = 11.0;
const TINY: f64 = 10.0;
/// How much wider bold letters are.
const BOLD: f64 = 1.16;
/// The radius of a line's corners.
const CORNER: f64 = 7.0;

pub(super) fn draw(view: &View) -> String {
    let drawn = layout(view.graph, &sizes(view));
    let heading = (ems(view.title) * 17.0).max(ems(&view.summary()) * 12.0);
    let (width, height) = (drawn.width.max(heading) + 2.0 * MARGIN, drawn.height + HEADING + 2.0 * MARGIN);
    let title = xml(view.title);
    let mut out = String::new();
    // Writing into a String can't fail.
    let _ = writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="pipeline" viewBox="0 0 {width:.0} {height:.0}" width="{width:.0}" height="{height:.0}" role="img" aria-label="{title}">"#
    );
    let _ = writeln!(out, "<style>{STYLE}</style>");
    out.push_str(
        r#"<defs><marker id="pipeline-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="head" d="M0 .6 7.4 4 0 7.4z"/></marker></defs>"#,
    );
    let _ = writeln!(out, r#"<rect class="page" width="{width:.0}" height="{height:.0}" rx="14"/>"#);
    let _ = writeln!(out, r#"<text class="title" x="{MARGIN}" y="{:.0}">{title}</text>"#, MARGIN + 15.0);
    let _ = writeln!(out, r#"<text class="about" x="{MARGIN}" y="{:.0}">{}</text>"#, MARGIN + 34.0, xml(&view.summary()));
    let _ = writeln!(out, r#"<g transform="translate({MARGIN} {})">"#, MARGIN + HEADING);
    lanes(view, &drawn, &mut out);
    view.graph.dag.edge_indices().for_each(|edge| line(view, &drawn, edge, &mut out));
    view.graph.dag.edge_indices().for_each(|edge| label(view, &drawn, edge, &mut out));
    view.graph.dag.node_indices().for_each(|node| stage(view, node, &drawn.stages[node.index()], &mut out));
    out.push_str("</g>\n</svg>\n");
    out
}

/// What stands in a stage under its id.
fn small_lines(view: &View, node: NodeIndex) -> Vec<(&'static str, String)> {
    let mut lines: Vec<_> = view.kind(node).map(|kind| ("kind", kind.into())).into_iter().collect();
    // One option a line while there are few, two a line when there are more; the rest is in the tooltip.
    let options = view.options(node);
    let per_line = if options.len() <= 2 { 1 } else { 2 };
    lines.extend(options.chunks(per_line).take(2).map(|options| ("option", options.join(", "))));
    lines
}

fn sizes(view: &View) -> Sizes {
    let graph = view.graph;
    let stage = |node: NodeIndex| {
        let small = small_lines(view, node);
        let share = view.share(node).map_or(0.0, |share| ems(&percent(share)) * SMALL * BOLD + 12.0);
        let id = ems(&shorten(view.id(node), 28)) * ID * BOLD + share;
        let widest = small.iter().map(|(_, line)| ems(line) * SMALL).fold(id, f64::max);
        ((widest + 24.0).max(92.0).ceil(), 29.0 + LINE * small.len().max(1) as f64)
    };
    let label = |edge: EdgeIndex| {
        let text = view.label(edge);
        match graph.dag[edge].bound {
            Some(_) => ((ems(&text) * TINY + 16.0).ceil(), 18.0),
            None => ((ems(&text) * TINY).ceil(), 15.0),
        }
    };
    let caption = graph.lanes.iter().map(|lane| ems(&view.place(lane)) * SMALL * BOLD).fold(0.0, f64::max);
    Sizes {
        stages: graph.dag.node_indices().map(stage).collect(),
        labels: graph.dag.edge_indices().map(label).collect(),
        caption: (caption + 14.0).ceil(),
    }
}

fn lanes(view: &View, drawn: &Layout, out: &mut String) {
    for (lane, rect) in view.graph.lanes.iter().zip(&drawn.lanes) {
        let class = match lane.kind {
            LaneKind::Source => "source",
            LaneKind::Workers => "workers",
            LaneKind::Sequential => "sequential",
            LaneKind::Device => "device",
        };
        let first = lane.stages.first().map_or(*rect, |node| drawn.stages[node.index()]);
        let _ = writeln!(
            out,
            r#"<g class="lane {class}"><title>{}</title><rect x="{:.0}" y="{:.0}" width="{:.0}" height="{:.0}" rx="11"/><text class="caption" x="{:.0}" y="{:.0}">{}</text></g>"#,
            xml(&view.caption(lane)),
            rect.x,
            rect.y,
            rect.width,
            rect.height,
            rect.x + 12.0,
            first.middle().1 + 4.0,
            xml(&view.place(lane)),
        );
    }
}

fn line(view: &View, drawn: &Layout, edge: EdgeIndex, out: &mut String) {
    let (class, what) = if view.graph.dag[edge].bound.is_some() { ("edge", "queue") } else { ("edge call", "call") };
    let path = rounded(&drawn.routes[edge.index()]);
    let text = xml(&view.label(edge));
    let _ = writeln!(
        out,
        r#"<path class="{class}" d="{path}" marker-end="url(#pipeline-arrow)"><title>{what}: {text}</title></path>"#
    );
}

fn label(view: &View, drawn: &Layout, edge: EdgeIndex, out: &mut String) {
    let Some(rect) = drawn.labels[edge.index()] else { return };
    let (x, y) = rect.middle();
    let text = view.label(edge);
    let (name, bound) = text.split_once("  ").unwrap_or((&text, ""));
    if bound.is_empty() {
        let _ = writeln!(out, r#"<text class="flow quiet" x="{x:.1}" y="{:.1}">{}</text>"#, rect.bottom() - 5.0, xml(name));
        return;
    }
    let _ = writeln!(
        out,
        r#"<rect class="chip" x="{:.1}" y="{:.1}" width="{:.0}" height="{:.0}" rx="9"/><text class="flow" x="{x:.1}" y="{:.1}">{} <tspan class="bound" dx="3">{}</tspan></text>"#,
        rect.x,
        rect.y,
        rect.width,
        rect.height,
        y + 3.5,
        xml(name),
        xml(bound),
    );
}

fn stage(view: &View, node: NodeIndex, rect: &Rect, out: &mut String) {
    let mut about = view.graph.dag[node].kind.doc.to_string();
    view.options(node).iter().for_each(|option| about = format!("{about}\n{option}"));
    let _ = write!(
        out,
        r#"<g class="stage"><title>{}</title><rect class="card" x="{:.0}" y="{:.0}" width="{:.0}" height="{:.0}" rx="7"/>"#,
        about.lines().map(xml).collect::<Vec<_>>().join("\n"),
        rect.x,
        rect.y,
        rect.width,
        rect.height,
    );
    let small = small_lines(view, node);
    // An id alone stands in the middle of its box's height.
    let first = if small.is_empty() { rect.middle().1 + 4.5 } else { rect.y + 21.0 };
    if let Some(share) = view.share(node) {
        // The root spreads the small shares, where the differences are.
        let _ = write!(
            out,
            r#"<rect class="heat" x="{:.0}" y="{:.0}" width="{:.0}" height="{:.0}" rx="7" fill-opacity="{:.2}"/><text class="share" x="{:.0}" y="{first:.1}">{}</text>"#,
            rect.x,
            rect.y,
            rect.width,
            rect.height,
            0.72 * share.clamp(0.0, 1.0).sqrt(),
            rect.right() - 11.0,
            percent(share),
        );
    }
    let _ =
        write!(out, r#"<text class="id" x="{:.0}" y="{first:.1}">{}</text>"#, rect.x + 12.0, xml(&shorten(view.id(node), 28)));
    for (at, (class, text)) in small.iter().enumerate() {
        let y = first + LINE * (at as f64 + 1.0);
        let _ = write!(out, r#"<text class="{class}" x="{:.0}" y="{y:.1}">{}</text>"#, rect.x + 12.0, xml(text));
    }
    out.push_str("</g>\n");
}

/// A path along the points, its corners rounded as far as the pieces are long.
fn rounded(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let toward = |from: (f64, f64), to: (f64, f64), by: f64| {
        let length = (to.0 - from.0).hypot(to.1 - from.1).max(f64::EPSILON);
        (from.0 + (to.0 - from.0) * by / length, from.1 + (to.1 - from.1) * by / length)
    };
    for (at, &point) in points.iter().enumerate() {
        let (before, after) = (at.checked_sub(1).map(|at| points[at]), points.get(at + 1));
        match (before, after) {
            (None, _) => {
                let _ = write!(path, "M{:.1} {:.1}", point.0, point.1);
            }
            (Some(_), None) => {
                let _ = write!(path, "L{:.1} {:.1}", point.0, point.1);
            }
            (Some(before), Some(&after)) => {
                let half = |other: (f64, f64)| (other.0 - point.0).hypot(other.1 - point.1) / 2.0;
                let radius = CORNER.min(half(before)).min(half(after));
                let (start, end) = (toward(point, before, radius), toward(point, after, radius));
                let _ = write!(path, "L{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}", start.0, start.1, point.0, point.1, end.0, end.1);
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::{Format, draw};

    /// Checks that tags nest and that text holds no bare `&`; returns the number of elements.
    fn well_formed(xml: &str) -> usize {
        let (mut open, mut count) = (Vec::new(), 0);
        let mut rest = xml;
        while let Some(start) = rest.find('<') {
            let text = &rest[..start];
            for (at, _) in text.match_indices('&') {
                let entity = text[at + 1..].split(';').next().unwrap();
                assert!(["amp", "lt", "gt", "quot", "#39"].contains(&entity), "bare & in {text}");
            }
            let end = start + rest[start..].find('>').expect("a tag ends");
            let tag = &rest[start + 1..end];
            assert!(tag.matches('"').count().is_multiple_of(2) && !tag.contains('<'), "quotes in <{tag}>");
            match (tag.strip_prefix('/'), tag.strip_suffix('/')) {
                (Some(name), _) => assert_eq!(open.pop(), Some(name.to_string())),
                (None, Some(_)) => count += 1,
                (None, None) => {
                    count += 1;
                    open.push(tag.split(' ').next().unwrap().to_string());
                }
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty(), "left open: {open:?}");
        count
    }

    #[test]
    fn every_graph_is_a_well_formed_picture() {
        for (name, graph, timings) in testing::all() {
            let svg = draw(&graph, name, Format::Svg, timings.as_deref());
            assert!(well_formed(&svg) > 3 * graph.dag.node_count());
            assert_eq!(svg.matches("class=\"card\"").count(), graph.dag.node_count());
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            assert!(!svg.replace("http://www.w3.org/2000/svg", "").contains("http"), "it must need nothing from elsewhere");
        }
    }

    #[test]
    fn hostile_names_stay_text() {
        let graph = testing::chain(&["</text><script>", "a\"b", "&amp;", "\u{1}", "日本"]);
        let svg = draw(&graph, "<&\"'>", Format::Svg, None);
        well_formed(&svg);
        assert!(svg.contains("&lt;/text&gt;&lt;script&gt;") && svg.contains("&amp;amp;") && svg.contains('日'));
    }

    #[test]
    fn timings_are_written_and_coloured() {
        let svg = draw(&testing::fives(), "fives", Format::Svg, Some(&testing::timings()));
        assert!(svg.contains(">73%<") && svg.contains("shares of 84.6 s busy"), "{svg}");
        assert_eq!(svg.matches("class=\"heat\"").count(), 9);
    }
}
