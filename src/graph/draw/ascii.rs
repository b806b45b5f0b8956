//! Text for a terminal: one stage a line in topological order, its edges as rails at the left, its lane at the right.
//! At most 100 columns where the rails leave that much room; no colours, since files and logs get it too.

mod rails;

use petgraph::graph::{EdgeIndex, NodeIndex};
use petgraph::visit::EdgeRef;

use super::view::View;
use super::words::{cells, fit, percent, printable};
use rails::Rails;

const WIDTH: usize = 100;
/// Cells of the bar of a share of 100%.
const BAR: f64 = 12.0;

/// One line before it is set: rails, words, and for a stage its lane and share.
struct Line {
    rails: String,
    words: String,
    lane: Option<usize>,
    share: Option<f64>,
}

pub(super) fn draw(view: &View) -> String {
    let mut lines: Vec<Line> = Vec::new();
    let mut rails = Rails::default();
    let ids = view.graph.order.iter().map(|&node| cells(&name(view, node))).max().unwrap_or(0);
    for &node in &view.graph.order {
        stage_lines(view, node, ids, &mut rails, &mut lines);
    }
    set(view, &lines)
}

/// The lines of one stage: what joins above it, itself, what leaves it.
fn stage_lines(view: &View, node: NodeIndex, ids: usize, rails: &mut Rails, lines: &mut Vec<Line>) {
    let plain = |rails: String, words: String| Line { rails, words, lane: None, share: None };
    let dag = &view.graph.dag;
    let inputs: Vec<EdgeIndex> = dag.edges_directed(node, petgraph::Direction::Incoming).map(|edge| edge.id()).collect();
    let (column, joined) = rails.enter(&inputs);
    lines.extend(joined.map(|rails| plain(rails, String::new())));
    // What begins right below what ended would look like its consumer.
    if inputs.is_empty() && lines.last().is_some_and(|line| line.rails.chars().nth(2 * column) == Some('●')) {
        lines.push(plain(rails.plain(), String::new()));
    }
    let about = view.kind(node).map(String::from).into_iter().chain(view.options(node)).collect::<Vec<_>>().join(", ");
    let id = name(view, node);
    let words = format!("{id}{:pad$}{about}", "", pad = ids - cells(&id) + 2);
    let lane = view.graph.lane_of.get(node.index()).copied();
    lines.push(Line { rails: rails.stage(column), words, lane, share: view.share(node) });

    let mut outputs: Vec<_> = dag.edges(node).collect();
    outputs.sort_by_key(|edge| view.graph.order.iter().position(|&other| other == edge.target()));
    // The consumer that comes first keeps the straight rail; labels name the consumers where there are several.
    let branches = outputs.len() > 1;
    let label = |edge: EdgeIndex, target: NodeIndex| match branches {
        true => format!("{} → {}", view.label(edge), name(view, target)),
        false => view.label(edge),
    };
    let Some((first, others)) = outputs.split_first() else { return rails.end(column) };
    rails.keep(column, first.id());
    for other in others {
        lines.push(plain(rails.branch(column, other.id()), label(other.id(), other.target())));
    }
    lines.push(plain(rails.plain(), label(first.id(), first.target())));
}

fn name(view: &View, node: NodeIndex) -> String {
    fit(&printable(view.id(node)), 28)
}

/// Sets the lines: rails, words, shares and lanes each in a column of their own.
fn set(view: &View, lines: &[Line]) -> String {
    let rails = lines.iter().map(|line| line.rails.chars().count()).max().unwrap_or(0);
    let places = view.graph.lanes.iter().map(|lane| cells(&view.place(lane))).max().unwrap_or(0);
    let timed = lines.iter().any(|line| line.share.is_some());
    let shares = if timed { 6 + BAR as usize } else { 0 };
    let room = WIDTH.saturating_sub(rails + 1 + shares + 2 + 2 + places).max(20);
    let words = lines.iter().map(|line| cells(&line.words).min(room)).max().unwrap_or(0);
    let brackets = brackets(lines);

    let mut out = format!("{}\n{}\n\n", fit(&printable(view.title), WIDTH), view.summary());
    for (line, bracket) in lines.iter().zip(brackets) {
        let text = fit(&line.words, room);
        let mut row = format!("{}{:pad$}", line.rails, "", pad = rails + 1 - line.rails.chars().count());
        row += &format!("{text}{:pad$}", "", pad = words - cells(&text) + 2);
        if let Some(share) = line.share {
            row += &format!("{:>4} {:pad$} ", percent(share), bar(share), pad = BAR as usize);
        } else if timed {
            row += &format!("{:shares$}", "");
        }
        if let Some((mark, lane)) = bracket {
            row.push(mark);
            if let Some(lane) = lane {
                row += &format!(" {}", view.place(&view.graph.lanes[lane]));
            }
        }
        out.push_str(row.trim_end());
        out.push('\n');
    }
    out
}

/// The bracket beside each line that holds a run of stages of one lane together; at its head, the lane.
fn brackets(lines: &[Line]) -> Vec<Option<(char, Option<usize>)>> {
    let mut marks = vec![None; lines.len()];
    let stages: Vec<(usize, usize)> = lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.lane?))).collect();
    for run in stages.chunk_by(|a, b| a.1 == b.1) {
        let (Some(&(first, lane)), Some(&(last, _))) = (run.first(), run.last()) else { continue };
        marks[first..=last].fill(Some(('│', None)));
        marks[last] = Some(('╯', None));
        marks[first] = Some((if first == last { '─' } else { '╮' }, Some(lane)));
    }
    marks
}

fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * BAR * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::super::{Format, draw};
    use super::*;

    #[test]
    fn a_chain_is_one_rail() {
        let text = draw(&testing::fives(), "fives", Format::Ascii, None);
        assert_eq!(
            text,
            "\
fives
9 stages, 4 lanes

● files    fives, root data/FIVES, shuffle        ─ source
│ files  ≤4, 256 MiB
● decode                                          ╮ 4 workers
│ image_pair                                      │
● resize   size 1024                              │
│ image_pair                                      │
● augment  flip, brightness 0.2, contrast 0.2     ╯
│ image_pair  ≤4, 256 MiB
● batch                                           ─ sequential
│ batch  ≤4, 256 MiB
● train    train_step, model unet, loss bce_dice  ╮ device
│ gradients                                       │
● accum    accumulate, steps 4                    │
│ window                                          │
● optim    optimizer_step                         │
│ step                                            │
● clean    cleanup                                ╯
"
        );
    }

    #[test]
    fn branches_and_joins_are_visible() {
        let text = draw(&testing::branch(), "branch", Format::Ascii, None);
        assert!(text.contains("├─╮ image_pair  ≤8, 1.5 GiB → resize"), "{text}");
        let text = draw(&testing::tested(), "tested", Format::Ascii, None);
        assert!(text.contains("├─╯\n●   evaluate"), "{text}");
    }

    #[test]
    fn every_edge_is_drawn_once_and_lines_are_short() {
        for (name, graph, timings) in testing::all() {
            let text = draw(&graph, name, Format::Ascii, timings.as_deref());
            assert_eq!(text.matches('●').count(), graph.dag.node_count());
            let joins = text.lines().map(|line| line.matches(['╯', '┴']).count()).sum::<usize>();
            assert!(joins + graph.dag.node_count() > graph.dag.edge_count(), "{text}");
            assert!(text.lines().all(|line| cells(line) <= 100), "{text}");
        }
    }

    #[test]
    fn shares_are_bars() {
        let text = draw(&testing::fives(), "fives", Format::Ascii, Some(&testing::timings()));
        assert!(text.contains("73% ████████▊"), "{text}");
        assert_eq!((bar(0.0).as_str(), bar(1.0).chars().count()), ("", 12));
    }
}
