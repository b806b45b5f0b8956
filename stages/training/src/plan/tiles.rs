//! Chooses the tiles of evaluators that leave them open (`size: auto`, `batch: auto`) for a memory budget, once the training's settings are chosen.
//! A tile that the file names is never changed; where one is too large, the largest that fits is found.

use pipeline_contract::{Result, StageError};
use serde::Serialize;

use super::ask::{Ask, TIE};
use super::calibrate::Speed;
use super::job::{Job, Tiled};
use crate::device::Platform;
use crate::forecast::Forecast;
use crate::policy::Setting;
use crate::precision::Precision;
use crate::sliding::Windows;

/// The tiles that were chosen for an evaluator.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TileChoice {
    /// The evaluator's id.
    pub stage: String,
    /// Height of a tile in pixels.
    pub height: usize,
    /// Width of a tile in pixels.
    pub width: usize,
    /// Tiles in a pass.
    pub batch: usize,
    /// True when the file leaves the size open.
    pub free_size: bool,
    /// True when the file leaves the number of tiles in a pass open.
    pub free_batch: bool,
    /// Bytes at the peak of an evaluation, with what the training holds beside it.
    pub peak: u64,
    /// True when `peak` wasn't checked with the graphics device's allocator.
    pub estimate: bool,
    /// Estimated seconds for a photograph.
    pub seconds: f64,
    /// Tiles of a photograph.
    pub tiles: usize,
}

/// The size of a photograph where the file doesn't tell, in pixels: that of FIVES.
const PHOTOGRAPH: [usize; 2] = [2048, 2048];

/// No side longer than this is chosen, unless the training's images have it.
const LONGEST: usize = 2048;

/// The numbers of tiles in a pass that are weighed.
const BATCHES: [usize; 5] = [1, 2, 4, 8, 16];

/// What a training under a budget leaves to its evaluations.
pub(super) struct Room {
    /// Samples of a micro-batch.
    pub micro_batch: usize,
    /// The policies.
    pub setting: Setting,
    /// Bytes of the device's memory.
    pub bytes: u64,
    /// By how much the device's allocator reserves more than is planned, as far as it was asked.
    pub learned: f64,
    /// The platform.
    pub platform: Platform,
}

/// Chooses for each evaluator that leaves its tiles open the fastest that fit. Larger tiles lose less to their overlap, more of them in a pass lose
/// less to the fixed cost of an operation. Of what is about as fast, the training's own size is preferred, then fewer in a pass.
///
/// Where nothing fits, the training's size stays: a run evaluates fewer tiles at a time when memory is refused.
///
/// # Errors
/// When the tiles don't fit the network, or the device fails.
pub(super) fn choose(job: &Job, room: &Room, ask: &impl Ask) -> Result<Vec<TileChoice>> {
    let open: Vec<&Tiled> = job.tiles.iter().filter(|tiled| tiled.tiling.free_size || tiled.tiling.free_batch).collect();
    if open.is_empty() {
        return Ok(Vec::new());
    }
    // Timed once, so that evaluators of the same images see the same tiles.
    let speed = ask.speed(room.setting.precision)?;
    open.into_iter().map(|tiled| one(job, tiled, room, speed, ask)).collect()
}

/// A choice that is weighed, with how far its size is from the training's.
type Weighed = (usize, TileChoice);

fn one(job: &Job, tiled: &Tiled, room: &Room, speed: Speed, ask: &impl Ask) -> Result<TileChoice> {
    let (tiling, limit) = (&tiled.tiling, ask.largest_buffer());
    let (mut fitting, mut own): (Vec<Weighed>, Option<TileChoice>) = (Vec::new(), None);
    for (steps, [height, width]) in sizes(tiled, job.network.stride) {
        let windows = Windows::new(tiled.image.unwrap_or(PHOTOGRAPH), [height, width], tiling.overlap)?.starts().count();
        let more = BATCHES.into_iter().filter(|&batch| batch == 1 || batch <= windows);
        let batches = if tiling.free_batch { more.collect() } else { vec![tiling.batch] };
        for batch in batches {
            let forecast = |batch| job.evaluating((batch, height, width), room.setting, room.platform);
            let (pass, rest) = (forecast(batch)?, windows % batch);
            let mut seconds = speed.seconds(pass.work) * (windows / batch) as f64;
            if rest > 0 {
                seconds += speed.seconds(forecast(rest)?.work);
            }
            let choice = TileChoice {
                stage: tiled.stage.clone(),
                height,
                width,
                batch,
                free_size: tiling.free_size,
                free_batch: tiling.free_batch,
                peak: (pass.peak.total as f64 * room.learned) as u64,
                estimate: !room.platform.plans_exactly(),
                seconds,
                tiles: windows,
            };
            if steps == 0 && own.is_none() {
                own = Some(choice.clone());
            }
            if choice.peak <= room.bytes && limit.is_none_or(|limit| pass.largest <= limit) {
                fitting.push((steps, choice));
            }
        }
    }
    while let Some(at) = preferred(&fitting) {
        let (_, mut choice) = fitting.swap_remove(at);
        if !choice.estimate {
            return Ok(choice);
        }
        let tiles = (choice.batch, choice.height, choice.width);
        let Some(reserved) = ask.reserved_with(room.micro_batch, room.setting, tiles)? else { return Ok(choice) };
        if reserved <= room.bytes {
            (choice.peak, choice.estimate) = (reserved, false);
            return Ok(choice);
        }
        // What is planned to take as much would be refused as well.
        fitting.retain(|(_, other)| other.peak < choice.peak);
    }
    own.ok_or_else(|| StageError::new(format!("no tile of `{}` fits the network", tiled.stage)))
}

/// Which of these to take.
fn preferred(fitting: &[Weighed]) -> Option<usize> {
    let least = fitting.iter().map(|(_, choice)| choice.seconds).min_by(f64::total_cmp)?;
    let tied = fitting.iter().enumerate().filter(|(_, (_, choice))| choice.seconds <= least * TIE);
    tied.min_by_key(|(_, (steps, choice))| (*steps, choice.batch, choice.peak)).map(|(at, _)| at)
}

/// The sizes that are weighed, each with its distance from the training's: half of that, itself, and 1.5, 2, 3, 4, 6, 8, ... times it, in multiples of
/// the network's stride.
fn sizes(tiled: &Tiled, stride: usize) -> Vec<(usize, [usize; 2])> {
    let own = tiled.tiling.size;
    if !tiled.tiling.free_size {
        return vec![(0, own)];
    }
    let halves = |halves: usize| own.map(|side| (side * halves).div_ceil(2).next_multiple_of(stride.max(1)));
    // At most 2048 times a side of one pixel.
    let larger = (0..22).map(|at| if at % 2 == 0 { 3 << (at / 2) } else { 4 << (at / 2) });
    let larger = larger.map(halves).take_while(|size| size.iter().all(|&side| side <= LONGEST));
    let mut sizes = vec![(0, own)];
    sizes.extend(larger.enumerate().map(|(at, size)| (at + 1, size)));
    if halves(1) != own {
        sizes.push((1, halves(1)));
    }
    sizes
}

/// Where the training alone would fit, the side of the largest square tile that fits as well, in one of these precisions; `None` where tiles
/// aren't the reason that nothing fits, or no tile fits.
pub(super) fn largest(job: &Job, settings: &[(usize, Setting)], bytes: u64, platform: Platform) -> Option<usize> {
    let trained = Job { evaluation: None, ..job.clone() };
    let fits = |forecast: Result<Forecast>| forecast.is_ok_and(|forecast| forecast.peak.total <= bytes);
    let trains = |&&(samples, setting): &&(usize, Setting)| fits(trained.forecast(samples, setting, platform));
    let (_, height, width) = job.evaluation.filter(|_| job.tiled)?;
    let mut precisions: Vec<Precision> = settings.iter().filter(trains).map(|(_, setting)| setting.precision).collect();
    precisions.dedup();
    let stride = job.network.stride.max(1);
    let tile = |side: usize| {
        let setting = |&precision: &Precision| Setting { precision, ..job.setting };
        precisions.iter().any(|precision| fits(job.evaluating((1, side, side), setting(precision), platform)))
    };
    let (mut low, mut high) = (0, height.max(width) / stride);
    while low < high {
        let middle = (low + high).div_ceil(2);
        if tile(middle * stride) { low = middle } else { high = middle - 1 }
    }
    (low > 0).then_some(low * stride)
}

#[cfg(test)]
#[expect(clippy::expect_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use crate::loss::Loss;
    use crate::networks::UNetConfig;
    use crate::plan::Keys;
    use crate::stages::Tiling;

    /// A training on 64 x 64 with one evaluator, of photographs of 200 x 300.
    fn job(tiling: Tiling) -> Job {
        let [height, width] = tiling.size;
        Job {
            network: UNetConfig::new(8, 3, "group").expect("a small network").network(),
            micro_batch: (1, 64, 64),
            steps: 4,
            setting: Setting::default(),
            optimizer: 2,
            average: false,
            evaluation: Some((tiling.batch, height, width)),
            tiled: true,
            tiles: vec![Tiled { stage: "test".into(), tiling, image: Some([200, 300]) }],
            drops_last: false,
            loss: Loss::default(),
            device: "cpu".to_owned(),
            keys: Keys::default(),
        }
    }

    fn tiling(free_size: bool, free_batch: bool) -> Tiling {
        Tiling { size: [64, 64], overlap: 0.5, batch: 1, free_size, free_batch }
    }

    /// A device whose operations have this fixed cost and whose allocator reserves this many times the planned bytes.
    struct Device {
        operation: f64,
        reserves: Option<f64>,
        job: Job,
    }

    impl Ask for Device {
        fn speed(&self, _: Precision) -> Result<Speed> {
            Ok(Speed { flop: 1e-11, value: 1e-9, operation: self.operation })
        }

        fn reserved(&self, _: usize, _: Setting) -> Result<Option<u64>> {
            Ok(None)
        }

        fn reserved_with(&self, _: usize, setting: Setting, tiles: (usize, usize, usize)) -> Result<Option<u64>> {
            let planned = self.job.evaluating(tiles, setting, Platform::Graphics)?.peak.total;
            Ok(self.reserves.map(|more| (planned as f64 * more) as u64))
        }
    }

    fn chosen_on(tiling: Tiling, bytes: u64, operation: f64, reserves: Option<f64>) -> Option<TileChoice> {
        let job = job(tiling);
        let platform = if reserves.is_some() { Platform::Graphics } else { Platform::Cpu };
        let room = Room { micro_batch: 1, setting: job.setting, bytes, learned: 1.0, platform };
        choose(&job, &room, &Device { operation, reserves, job: job.clone() }).expect("tiles that fit the network").pop()
    }

    fn chosen(tiling: Tiling, bytes: u64, operation: f64) -> TileChoice {
        chosen_on(tiling, bytes, operation, None).expect("open tiles")
    }

    fn peak(tiles: (usize, usize, usize), platform: Platform) -> u64 {
        let job = job(tiling(true, true));
        job.evaluating(tiles, job.setting, platform).expect("tiles that fit the network").peak.total
    }

    #[test]
    fn what_is_chosen_fits_and_takes_what_is_planned() {
        let mut sizes = Vec::new();
        for bytes in [1 << 20, 4 << 20, 16 << 20, 64 << 20, 1 << 30] {
            let choice = chosen(tiling(true, true), bytes, 1e-4);
            let own = peak((1, 64, 64), Platform::Cpu);
            assert!(choice.peak <= bytes.max(own), "{choice:?}");
            assert_eq!(choice.peak, peak((choice.batch, choice.height, choice.width), Platform::Cpu));
            assert!(choice.height.is_multiple_of(4) && choice.height == choice.width, "{choice:?}");
            sizes.push(choice.height * choice.height * choice.batch);
        }
        assert!(sizes.is_sorted() && sizes.last() > sizes.first(), "{sizes:?}");
    }

    #[test]
    fn a_pinned_tile_is_never_changed() {
        for bytes in [1 << 10, 1 << 40] {
            assert_eq!(chosen_on(tiling(false, false), bytes, 1e-4, None), None);
            let choice = chosen(tiling(false, true), bytes, 1e-4);
            assert_eq!((choice.height, choice.width), (64, 64));
            let choice = chosen(Tiling { batch: 3, ..tiling(true, false) }, bytes, 1e-4);
            assert_eq!(choice.batch, 3);
        }
        // More at a time only where an operation's fixed cost counts.
        assert_eq!(chosen(tiling(false, true), 1 << 40, 0.0).batch, 1);
        assert!(chosen(tiling(false, true), 1 << 40, 1e-2).batch > 1);
    }

    #[test]
    fn a_smaller_tile_is_chosen_only_where_the_training_s_does_not_fit() {
        let open = Tiling { batch: 8, ..tiling(true, false) };
        let own = peak((8, 64, 64), Platform::Cpu);
        let choice = chosen(open, own, 0.0);
        assert!(choice.height >= 64, "{choice:?}");
        assert_eq!(chosen(open, own - 1, 0.0).height, 32);
        assert_eq!(chosen(open, 1, 0.0).height, 64, "where nothing fits, a run sees fewer at a time");
    }

    #[test]
    fn on_a_graphics_device_its_allocator_is_asked() {
        let bytes = peak((1, 256, 256), Platform::Graphics);
        let planned = chosen_on(tiling(true, true), bytes, 1e-4, Some(1.0)).expect("open tiles");
        let reserved = chosen_on(tiling(true, true), bytes, 1e-4, Some(2.0)).expect("open tiles");
        assert!(!planned.estimate && !reserved.estimate);
        assert!(reserved.peak <= bytes && planned.peak <= bytes, "{planned:?} {reserved:?}");
        let area = |choice: &TileChoice| choice.height * choice.width * choice.batch;
        assert!(area(&reserved) < area(&planned), "{planned:?} {reserved:?}");
    }

    #[test]
    fn the_largest_tile_that_fits_is_named_where_the_training_fits() {
        let job = job(Tiling { size: [640, 640], ..tiling(false, false) });
        let settings = [(1, job.setting)];
        let trained = Job { evaluation: None, ..job.clone() };
        let needed = trained.forecast(1, job.setting, Platform::Cpu).expect("images that fit").peak.total;
        let side = largest(&job, &settings, needed, Platform::Cpu).expect("some tile fits");
        assert!(
            side >= 64
                && peak((1, side, side), Platform::Cpu) <= needed
                && peak((1, side + 4, side + 4), Platform::Cpu) > needed
        );
        assert_eq!(largest(&job, &settings, needed - 1, Platform::Cpu), None, "it isn't for the tiles");
        assert_eq!(largest(&Job { tiled: false, ..job }, &settings, needed, Platform::Cpu), None);
    }
}
