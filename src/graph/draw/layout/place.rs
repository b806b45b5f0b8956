//! Columns: how far right each item stands, so that lines are straight where they can be and nothing overlaps.
//! The order within the rows is given.

use super::rows::{Link, Rows, What};

/// Between two lanes of a row.
const BETWEEN_LANES: f64 = 30.0;
/// Between anything else.
const BETWEEN: f64 = 14.0;
/// Rounds of relaxation; by then the positions of dozens of lanes have settled to a fraction of a unit.
const ROUNDS: usize = 300;

/// The left edge of each item. Minimises the weighted squares of the links' horizontal offsets, row by row.
pub(super) fn columns(rows: &Rows) -> Vec<f64> {
    let mut left = vec![0.0; rows.items.len()];
    let gap = |a: usize, b: usize| gap(rows, a, b);
    for row in &rows.rows {
        for pair in row.windows(2) {
            left[pair[1]] = left[pair[0]] + rows.items[pair[0]].width + gap(pair[0], pair[1]);
        }
    }
    let mut touching: Vec<Vec<&Link>> = vec![Vec::new(); rows.items.len()];
    for link in &rows.links {
        touching[link.upper].push(link);
        touching[link.lower].push(link);
    }
    for round in 0..ROUNDS {
        for step in 0..rows.rows.len() {
            let row = &rows.rows[if round % 2 == 0 { step } else { rows.rows.len() - 1 - step }];
            let wishes: Vec<(f64, f64)> = row.iter().map(|&item| wish(&touching[item], &left, item)).collect();
            let mut offsets = vec![0.0; row.len()];
            for at in 1..row.len() {
                offsets[at] = offsets[at - 1] + rows.items[row[at - 1]].width + gap(row[at - 1], row[at]);
            }
            for (&item, x) in row.iter().zip(separate(&wishes, &offsets)) {
                left[item] = x;
            }
        }
    }
    straighten(rows, &mut left);
    let least = left.iter().copied().fold(f64::INFINITY, f64::min);
    left.iter().map(|x| (x - least).round()).collect()
}

fn gap(rows: &Rows, a: usize, b: usize) -> f64 {
    match (rows.items[a].what, rows.items[b].what) {
        (What::Lane(_), What::Lane(_)) => BETWEEN_LANES,
        _ => BETWEEN,
    }
}

/// Least squares spread the offset of a long line evenly over its rows, like stairs. From its label upward, each passing
/// piece is put right above the next as far as its neighbours in the row leave room, so that one corner is left.
fn straighten(rows: &Rows, left: &mut [f64]) {
    let mut neighbours = vec![(None, None); rows.items.len()];
    for row in &rows.rows {
        for pair in row.windows(2) {
            neighbours[pair[0]].1 = Some(pair[1]);
            neighbours[pair[1]].0 = Some(pair[0]);
        }
    }
    // A second time, since lines that moved may have made room.
    for chain in rows.chains.iter().chain(&rows.chains) {
        for pair in chain.items.windows(2).rev() {
            let (item, below) = (pair[0], pair[1]);
            if rows.items[item].what != What::Pass {
                continue;
            }
            let wish = left[below] + (rows.items[below].width - rows.items[item].width) / 2.0;
            let (before, after) = neighbours[item];
            let least =
                before.map_or(f64::NEG_INFINITY, |other| left[other] + rows.items[other].width + gap(rows, other, item));
            let most = after.map_or(f64::INFINITY, |other| left[other] - gap(rows, item, other) - rows.items[item].width);
            left[item] = wish.min(most).max(least);
        }
    }
}

/// Where an item's neighbours would have it, and how much that weighs.
fn wish(links: &[&Link], left: &[f64], item: usize) -> (f64, f64) {
    let (mut sum, mut weight) = (0.0, 0.0);
    for link in links {
        if link.lower == item {
            sum += link.weight * (left[link.upper] + link.upper_align - link.lower_at);
            weight += link.weight;
        } else {
            sum += link.weight * (left[link.lower] + link.lower_at - link.upper_align);
            weight += link.weight;
        }
    }
    if weight > 0.0 { (sum / weight, weight) } else { (left[item], 1e-3) }
}

/// The positions nearest to the wishes (least weighted squares) that keep `x[i + 1] - x[i] >= offsets[i + 1] - offsets[i]`:
/// isotonic regression by pooling adjacent violators.
pub(super) fn separate(wishes: &[(f64, f64)], offsets: &[f64]) -> Vec<f64> {
    // Blocks of (weighted sum, weight, count) whose members stand as close as they may.
    let mut blocks: Vec<(f64, f64, usize)> = Vec::new();
    for ((wish, weight), offset) in wishes.iter().zip(offsets) {
        let mut block = ((wish - offset) * weight, *weight, 1);
        while let Some(last) = blocks.last().filter(|last| last.0 / last.1 >= block.0 / block.1) {
            block = (last.0 + block.0, last.1 + block.1, last.2 + block.2);
            blocks.pop();
        }
        blocks.push(block);
    }
    let bases = blocks.iter().flat_map(|block| std::iter::repeat_n(block.0 / block.1, block.2));
    bases.zip(offsets).map(|(base, offset)| base + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::separate;

    #[test]
    fn wishes_hold_where_there_is_room() {
        assert_eq!(separate(&[(0.0, 1.0), (50.0, 1.0)], &[0.0, 20.0]), [0.0, 50.0]);
        assert_eq!(separate(&[(10.0, 1.0), (10.0, 1.0)], &[0.0, 20.0]), [0.0, 20.0]);
        assert_eq!(separate(&[(10.0, 3.0), (10.0, 1.0)], &[0.0, 20.0]), [5.0, 25.0]);
    }
}
