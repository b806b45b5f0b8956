//! Betti numbers of a mask: its components and its holes.

use crate::Mask;

/// How many pieces a mask has and how many holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Betti {
    /// Betti-0: components of vessel, 8-connected.
    pub components: u64,
    /// Betti-1: components of background, 4-connected, that don't reach the outside.
    pub holes: u64,
}

/// Vessel pixels that lie side by side in a row.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: usize,
    /// The first pixel behind it.
    end: usize,
    /// Runs of one row with the same number are connected by rows above; below the number of the row's runs.
    set: u32,
}

impl Betti {
    /// Counts both in one pass over the rows, in memory for two rows.
    ///
    /// The runs of a row are joined by union-find with those of the row above that they touch. A join of two sets leaves one component less. A
    /// join inside one set closes a loop of runs, and loops are holes: two runs touch in one stretch and three never meet,
    /// so the mask has the topology of the graph of its runs (the nerve theorem), whose independent loops are `touches - runs + components`.
    pub fn of(mask: &Mask) -> Self {
        let most = mask.width().div_ceil(2);
        let [mut above, mut row] = [(); 2].map(|()| Vec::<Run>::with_capacity(most));
        let [mut parents, mut numbers] = [(); 2].map(|()| Vec::<u32>::with_capacity(2 * most));
        let (mut runs, mut joins, mut holes) = (0_u64, 0_u64, 0_u64);
        for y in 0..mask.height() {
            std::mem::swap(&mut above, &mut row);
            find_runs(mask.row(y), &mut row);
            runs += row.len() as u64;
            parents.clear();
            parents.extend(0..(above.len() + row.len()) as u32);
            let own = |at: usize| (above.len() + at) as u32;
            let mut first = 0;
            for (at, run) in row.iter().enumerate() {
                first += above[first..].iter().take_while(|other| other.end < run.start).count();
                for other in above[first..].iter().take_while(|other| other.start <= run.end) {
                    if join(&mut parents, own(at), other.set) {
                        joins += 1;
                    } else {
                        holes += 1;
                    }
                }
            }
            // Number the sets by this row's runs, so that the row above can be forgotten.
            numbers.clear();
            numbers.resize(parents.len(), u32::MAX);
            for (at, run) in row.iter_mut().enumerate() {
                let number = &mut numbers[root(&mut parents, own(at)) as usize];
                *number = (*number).min(at as u32);
                run.set = *number;
            }
        }
        Self { components: runs - joins, holes }
    }
}

/// Bytes that [`Betti::of`] takes.
pub(crate) fn workspace(width: u64) -> u64 {
    width.div_ceil(2) * (2 * size_of::<Run>() as u64 + 4 * size_of::<u32>() as u64)
}

fn find_runs(row: &[u8], runs: &mut Vec<Run>) {
    runs.clear();
    let mut at = 0;
    while let Some(ahead) = row[at..].iter().position(|&pixel| pixel != 0) {
        let start = at + ahead;
        let end = row[start..].iter().position(|&pixel| pixel == 0).map_or(row.len(), |length| start + length);
        runs.push(Run { start, end, set: 0 });
        at = end;
    }
}

/// The set's representative; the path to it is halved.
fn root(parents: &mut [u32], mut at: u32) -> u32 {
    while parents[at as usize] != at {
        let next = parents[parents[at as usize] as usize];
        parents[at as usize] = next;
        at = next;
    }
    at
}

/// Joins two sets; `false` if they are one already. The smaller representative stays, which keeps the paths short enough within two rows.
fn join(parents: &mut [u32], a: u32, b: u32) -> bool {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b) as usize] = a.min(b);
    a != b
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline_contract::stage_rng;
    use rand::RngExt as _;

    fn betti(rows: &[&str]) -> (u64, u64) {
        let pixels: Vec<u8> = rows.concat().bytes().map(|letter| u8::from(letter == b'#')).collect();
        let Betti { components, holes } = Betti::of(&Mask::new(rows.len(), pixels.len() / rows.len().max(1), &pixels));
        (components, holes)
    }

    #[test]
    fn corners_connect_vessel_but_not_background() {
        assert_eq!(betti(&["#.#", ".#.", "#.#"]), (1, 0));
        assert_eq!(betti(&[".#.", "#.#", ".#."]), (1, 1));
        assert_eq!(betti(&["###", "#.#", "###"]), (1, 1));
        assert_eq!(betti(&["#####", "#.#.#", "#####", "#...#", "#.#.#", "#...#", "#####"]), (2, 3));
        assert_eq!(betti(&["##.", "...", "#.#"]), (3, 0));
        assert_eq!(betti(&["#.#.#", "#.#.#", "#####"]), (1, 0));
        assert_eq!(betti(&[]), (0, 0));
    }

    /// Components by a flood.
    fn flood(height: usize, width: usize, is: impl Fn(usize) -> bool, diagonal: bool) -> u64 {
        let mut seen = vec![false; height * width];
        let mut count = 0;
        for start in 0..height * width {
            if seen[start] || !is(start) {
                continue;
            }
            count += 1;
            seen[start] = true;
            let mut todo = vec![start];
            while let Some(at) = todo.pop() {
                let (y, x) = (at / width, at % width);
                for ny in y.saturating_sub(1)..(y + 2).min(height) {
                    for nx in x.saturating_sub(1)..(x + 2).min(width) {
                        let next = ny * width + nx;
                        if (diagonal || ny == y || nx == x) && !seen[next] && is(next) {
                            seen[next] = true;
                            todo.push(next);
                        }
                    }
                }
            }
        }
        count
    }

    #[test]
    fn agrees_with_floods() {
        let mut rng = stage_rng(8, 0, "betti", "test");
        for (height, width) in [(1, 40), (40, 1), (17, 23), (50, 31)] {
            for share in [0.2, 0.45, 0.6, 0.8] {
                let pixels: Vec<u8> = (0..height * width).map(|_| u8::from(rng.random_bool(share))).collect();
                let padded = |at: usize| {
                    let (y, x) = (at / (width + 2), at % (width + 2));
                    (1..=height).contains(&y) && (1..=width).contains(&x) && pixels[(y - 1) * width + x - 1] == 1
                };
                let components = flood(height + 2, width + 2, padded, true);
                let holes = flood(height + 2, width + 2, |at| !padded(at), false) - 1;
                assert_eq!(
                    Betti::of(&Mask::new(height, width, &pixels)),
                    Betti { components, holes },
                    "{height} x {width}, {share}"
                );
            }
        }
    }
}
