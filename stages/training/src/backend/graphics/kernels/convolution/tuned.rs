//! Which tile is fastest for a convolution on this device: measured when the convolution is first computed there, and kept in the
//! user's cache folder, so that later runs choose alike and compute the same bits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::tensor::Device;
use pipeline_contract::{Result, files};
use serde::{Deserialize, Serialize};

use super::form::Tile;
use crate::device;

/// Tiles that are tried at most; each is a kernel to compile.
const TRIED: usize = 5;
/// How much of the first tile's time another may take to be chosen: measurements are that noisy.
const FASTER: f64 = 0.97;
/// A tile is run until it has taken this long, or this often, and twice so.
const LONG: Duration = Duration::from_millis(2);
const OFTEN: u32 = 20;

/// The fastest tiles of a device, by convolution.
#[derive(Debug)]
pub(super) struct Tuned {
    file: PathBuf,
    known: Mutex<BTreeMap<String, Tile>>,
}

/// What the file holds.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    tiles: BTreeMap<String, Tile>,
}

/// The devices of this process.
static DEVICES: Mutex<Vec<(Device, Option<Arc<Tuned>>)>> = Mutex::new(Vec::new());

impl Tuned {
    /// The fastest tiles of a device, as far as they are known. `None` where nothing is measured: on a software renderer, and where
    /// the variable PIPELINE_TILES is `fixed`.
    pub fn of(device: &Device) -> Option<Arc<Self>> {
        let mut devices = DEVICES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = devices.iter().find(|(known, _)| known == device) {
            return known.clone();
        }
        let wanted = std::env::var("PIPELINE_TILES").unwrap_or_default();
        let file = if wanted == "fixed" { None } else { device::tiles(device, wanted == "measured") };
        let tuned = file.map(|file| Arc::new(Self::read(file)));
        devices.push((device.clone(), tuned.clone()));
        tuned
    }

    /// With what a file holds. One that isn't there or can't be read is replaced by the next measurement.
    fn read(file: PathBuf) -> Self {
        let kept = std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        Self { file, known: Mutex::new(kept.unwrap_or_default().tiles) }
    }

    /// Computes a convolution with the fastest of the tiles, the first of which is the one that is expected to be: `run` computes
    /// it, and `wait` waits for the device. In a dry run (`dry`) nothing can be measured, and nothing is settled.
    ///
    /// # Errors
    /// What `run` and `wait` return.
    pub fn run<T>(
        &self,
        convolution: &str,
        tiles: &[Tile],
        dry: bool,
        wait: impl Fn() -> Result<()>,
        run: impl Fn(Tile) -> Result<T>,
    ) -> Result<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(convolution).copied();
        let first = tiles.first().copied().unwrap_or_default();
        if let Some(tile) = known.filter(|tile| tiles.contains(tile)) {
            return run(tile);
        }
        if tiles.len() < 2 || dry {
            return run(first);
        }
        let mut best = (first, f64::INFINITY);
        for &tile in &tiles[..tiles.len().min(TRIED)] {
            // The first time, it is compiled.
            run(tile)?;
            wait()?;
            let seconds = time(&wait, || run(tile).map(drop))?;
            tracing::debug!("{convolution}: {tile:?} takes {:.1} us", 1e6 * seconds);
            if seconds < best.1 * if tile == first { 1.0 } else { FASTER } {
                best = (tile, seconds);
            }
        }
        self.keep(convolution, best.0);
        run(best.0)
    }

    fn keep(&self, convolution: &str, tile: Tile) {
        let file = &self.file;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Another process may have measured meanwhile: its choices stay.
        let mut tiles = Self::read(file.clone()).known.into_inner().unwrap_or_else(PoisonError::into_inner);
        tiles.entry(convolution.to_owned()).or_insert(tile);
        known.append(&mut tiles.clone());
        let written = serde_json::to_vec_pretty(&Kept { tiles }).map_err(std::io::Error::from).and_then(|bytes| {
            file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            files::replace(file, &bytes)
        });
        if let Err(error) = written {
            let file = file.display();
            tracing::warn!(
                "{file}: {error}; the fastest kernels are measured again in every run, whose last digits may differ"
            );
        }
    }
}

/// Seconds that some work takes.
fn time(wait: impl Fn() -> Result<()>, work: impl Fn() -> Result<()>) -> Result<f64> {
    let times = |count: u32| -> Result<Duration> {
        let start = Instant::now();
        (0..count).try_for_each(|_| work())?;
        wait()?;
        Ok(start.elapsed())
    };
    let once = times(1)?.max(Duration::from_nanos(1));
    let count = (LONG.as_nanos() / once.as_nanos()).clamp(1, OFTEN.into()) as u32;
    let (a, b) = (times(count)?, times(count)?);
    Ok(a.min(b).as_secs_f64() / f64::from(count))
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn tile(rows: usize) -> Tile {
        Tile { rows, blocks: 1, down: 1, across: 1, steps: 1 }
    }

    /// The tile that the last run took, of two, the second of which is faster.
    fn choose(tuned: &Tuned, dry: bool, runs: &RefCell<Vec<usize>>) -> usize {
        let run = |tile: Tile| {
            runs.borrow_mut().push(tile.rows);
            std::thread::sleep(Duration::from_millis(if tile.rows == 1 { 20 } else { 2 }));
            Ok(tile.rows)
        };
        tuned.run("3x3", &[tile(1), tile(2)], dry, || Ok(()), run).expect("a tile")
    }

    #[test]
    fn the_fastest_tile_is_measured_once_and_kept() {
        let folder = std::env::temp_dir().join(format!("pipeline-tiles-{}", std::process::id()));
        let file = folder.join("tiles").join("card.json");
        let runs = RefCell::default();
        let tuned = Tuned::read(file.clone());
        assert_eq!(choose(&tuned, true, &runs), 1);
        assert!(!file.exists(), "a dry run settles nothing");
        assert_eq!(choose(&tuned, false, &runs), 2);
        let count = runs.borrow().len();
        assert_eq!(choose(&tuned, false, &runs), 2);
        // A later run reads it.
        assert_eq!(choose(&Tuned::read(file.clone()), false, &runs), 2);
        assert_eq!(runs.borrow().len(), count + 2);
        // A damaged file is replaced; a tile that isn't among the given ones isn't taken.
        std::fs::write(&file, "{").expect("a file");
        assert_eq!(choose(&Tuned::read(file.clone()), false, &runs), 2);
        std::fs::write(&file, serde_json::to_vec(&Kept { tiles: [("3x3".into(), tile(9))].into() }).expect("json"))
            .expect("a file");
        assert_eq!(choose(&Tuned::read(file), false, &runs), 2);
        std::fs::remove_dir_all(folder).expect("a folder");
    }
}
