//! The order of the items in their rows: fewest crossings found by a few sweeps.
//! It leaves the rows themselves as they are.

use super::rows::Rows;

/// Sweeps down and up; two of each pass settle most graphs, more cost little.
const SWEEPS: usize = 12;

/// Reorders the rows' items by the mean position of their neighbours, and keeps the order with the fewest crossings.
pub(super) fn reduce_crossings(rows: &mut Rows) {
    let mut fewest = crossings(rows);
    let mut best = rows.rows.clone();
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let downward = sweep % 2 == 0;
        let count = rows.rows.len();
        for step in 0..count {
            reorder(rows, if downward { step } else { count - 1 - step }, downward);
        }
        let found = crossings(rows);
        if found < fewest {
            fewest = found;
            best.clone_from(&rows.rows);
        }
    }
    rows.rows = best;
}

/// Where each item would begin if every row were packed to the left.
fn packed(rows: &Rows) -> Vec<f64> {
    let mut left = vec![0.0; rows.items.len()];
    for row in &rows.rows {
        let mut x = 0.0;
        for &item in row {
            left[item] = x;
            x += rows.items[item].width;
        }
    }
    left
}

fn reorder(rows: &mut Rows, row: usize, from_above: bool) {
    let left = packed(rows);
    let wish = |item: usize| {
        let wishes = rows.links.iter().filter_map(|link| match from_above {
            true => (link.lower == item).then(|| left[link.upper] + link.upper_at - link.lower_at),
            false => (link.upper == item).then(|| left[link.lower] + link.lower_at - link.upper_at),
        });
        let (sum, count) = wishes.fold((0.0, 0.0), |(sum, count), wish| (sum + wish, count + 1.0));
        if count > 0.0 { sum / count } else { left[item] }
    };
    let mut order: Vec<(f64, usize)> = rows.rows[row].iter().map(|&item| (wish(item), item)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    rows.rows[row] = order.into_iter().map(|(_, item)| item).collect();
}

fn crossings(rows: &Rows) -> usize {
    let left = packed(rows);
    let mut between: Vec<Vec<(f64, f64)>> = vec![Vec::new(); rows.rows.len()];
    for link in &rows.links {
        between[rows.items[link.upper].row].push((left[link.upper] + link.upper_at, left[link.lower] + link.lower_at));
    }
    let pairs = |links: &Vec<(f64, f64)>| {
        let crossed = |at: usize| links[at + 1..].iter().filter(|b| (links[at].0 - b.0) * (links[at].1 - b.1) < 0.0).count();
        (0..links.len()).map(crossed).sum::<usize>()
    };
    between.iter().map(pairs).sum()
}
