//! Walks over all of a JPEG's data, as a decoder would, to see whether it is whole: every block is there, every code is one of its table, the
//! restart markers are in order, and no data are left before the next marker. Decoders fill up what is damaged, without a word. What isn't
//! understood is left to the decoder.

use super::bits::Bits;
use super::blocks::{Coding, Scan, State, Tables, block};
use super::huffman::{Table, Wrong};

/// What is wrong with the data of a JPEG file whose picture is no larger than `height` x `width`, with the place.
pub(crate) fn damage(file: &[u8], [height, width]: [usize; 2]) -> Option<String> {
    let mut walk = Walk { file, size: [height, width], ..Walk::default() };
    match walk.segments() {
        Err(Stop::Damaged { at, row, what }) => {
            let height = walk.size[0].min(height);
            let row = row.min(height.saturating_sub(1));
            Some(format!("its data are damaged, at byte {at} of {} or before (row {row} of {height}): {what}", file.len()))
        }
        Ok(()) | Err(Stop::Unknown) => None,
    }
}

/// Why a walk ends early.
enum Stop {
    /// Something that isn't understood.
    Unknown,
    Damaged {
        at: usize,
        row: usize,
        what: String,
    },
}

/// Bytes too many that some cameras write at the end of a stretch of data.
const SLACK: usize = 3;

/// Zero bytes in a row that are no data, where zeros stand for coefficients that aren't zero: 128 equal coefficients or more.
const ZEROS: usize = 48;

/// The most scans: a progressive JPEG has about ten.
const SCANS: usize = 256;

#[derive(Default)]
struct Walk<'a> {
    file: &'a [u8],
    size: [usize; 2],
    at: usize,
    /// Tables of first coefficients and of others, four each.
    tables: [[Option<Table>; 4]; 2],
    /// What the first coefficient is multiplied by, in four tables.
    steps: [Option<i32>; 4],
    /// MCUs between restart markers; 0 where there are none.
    interval: usize,
    progressive: bool,
    components: Vec<Component>,
    scans: usize,
}

struct Component {
    id: u8,
    /// Blocks in an MCU, across and down.
    across: usize,
    down: usize,
    step: usize,
    /// A bit for each coefficient that isn't zero so far, for each block: in a progressive JPEG.
    known: Vec<u64>,
    scanned: bool,
}

impl Walk<'_> {
    /// From the start of the file to the end of the picture.
    fn segments(&mut self) -> Result<(), Stop> {
        self.at = 2;
        loop {
            let rest = self.file.get(self.at..).ok_or(Stop::Unknown)?;
            // Between segments, anything but a marker is skipped.
            let marker = rest.windows(2).position(|two| two[0] == 0xff && !matches!(two[1], 0 | 0xff)).ok_or(Stop::Unknown)?;
            let kind = rest[marker + 1];
            self.at += marker + 2;
            match kind {
                0xd9 => return self.all_scanned(),
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let rest = &self.file[self.at..];
            let length = rest.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length))).ok_or(Stop::Unknown)?;
            let segment = rest.get(2..length).ok_or(Stop::Unknown)?;
            self.at += length;
            match kind {
                0xc0..=0xc2 => self.frame(segment, kind == 0xc2).ok_or(Stop::Unknown)?,
                0xc4 => self.codes(segment).ok_or(Stop::Unknown)?,
                0xdb => self.quantisation(segment).ok_or(Stop::Unknown)?,
                0xdd => self.interval = number(segment).ok_or(Stop::Unknown)?,
                0xda => self.scan(segment)?,
                // Other frames.
                0xc3..=0xcf => return Err(Stop::Unknown),
                _ => {}
            }
        }
    }

    fn all_scanned(&self) -> Result<(), Stop> {
        match self.components.iter().all(|component| component.scanned) {
            true => Ok(()),
            false => Err(Stop::Damaged { at: self.at, row: 0, what: "some of its colours are missing".into() }),
        }
    }

    fn frame(&mut self, segment: &[u8], progressive: bool) -> Option<()> {
        let (&[8, top, bottom, left, right, count], components) = segment.split_first_chunk()? else { return None };
        let size = [[top, bottom], [left, right]].map(|side| usize::from(u16::from_be_bytes(side)));
        // A second frame, or one that is larger than what was checked against a limit.
        if !self.components.is_empty() || size[0] > self.size[0] || size[1] > self.size[1] || usize::from(count) > 4 {
            return None;
        }
        self.size = size;
        self.progressive = progressive;
        for &[id, sides, step] in components.as_chunks().0.iter().take(usize::from(count)) {
            let [across, down] = [sides >> 4, sides & 15].map(usize::from);
            if !(1..=4).contains(&across) || !(1..=4).contains(&down) {
                return None;
            }
            let component = Component { id, across, down, step: usize::from(step & 3), known: Vec::new(), scanned: false };
            self.components.push(component);
        }
        (self.components.len() == usize::from(count) && count > 0).then_some(())
    }

    fn codes(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&class, rest)) = segment.split_first() {
            let (counts, symbols) = rest.split_first_chunk::<16>()?;
            let count = counts.iter().map(|&count| usize::from(count)).sum();
            *self.tables.get_mut(usize::from(class >> 4))?.get_mut(usize::from(class & 15))? =
                Some(Table::new(counts, symbols.get(..count)?)?);
            segment = &symbols[count..];
        }
        Some(())
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Option<()> {
        while let Some((&class, rest)) = segment.split_first() {
            let wide = class >> 4 > 0;
            let step = if wide { number(rest)? } else { usize::from(*rest.first()?) };
            *self.steps.get_mut(usize::from(class & 15))? = Some(step as i32);
            segment = rest.get(if wide { 128 } else { 64 }..)?;
        }
        Some(())
    }

    /// A scan and the data that follow it.
    fn scan(&mut self, segment: &[u8]) -> Result<(), Stop> {
        let (chosen, scan) = self.read_scan(segment).ok_or(Stop::Unknown)?;
        self.scans += 1;
        if self.scans > SCANS {
            return Err(Stop::Unknown);
        }
        let most = |side: fn(&Component) -> usize| self.components.iter().map(side).max().unwrap_or(1);
        let most = [most(|component| component.down), most(|component| component.across)];
        // Blocks in a row and in a column of the picture, of a component that has `own` of at most `most` blocks in an MCU.
        let blocks = |axis: usize, own: usize| (self.size[axis] * own).div_ceil(most[axis]).div_ceil(8);
        let alone = chosen.len() == 1;
        let [across, down, height] = match *chosen {
            [Chosen { component, .. }] => {
                let Component { across, down, .. } = self.components[component];
                [blocks(1, across), blocks(0, down), 8 * most[0] / down]
            }
            _ => [self.size[1].div_ceil(8 * most[1]), self.size[0].div_ceil(8 * most[0]), 8 * most[0]],
        };
        let mut parts = Vec::new();
        for chosen in &chosen {
            let component = &mut self.components[chosen.component];
            component.scanned = true;
            let tables = Tables {
                first: self.tables[0][chosen.first].as_ref(),
                others: self.tables[1][chosen.others].as_ref(),
                step: self.steps[component.step],
            };
            if !tables.suffice(scan.coding) {
                return Err(Stop::Unknown);
            }
            let blocks = if alone { 1 } else { component.across * component.down };
            let mut known = std::mem::take(&mut component.known);
            if matches!(scan.coding, Coding::Others | Coding::OthersRefined) {
                known.resize(across * down, 0);
            }
            parts.push((tables, blocks, State::default(), known));
        }
        let mut bits = Bits::new(self.file, self.at);
        let row = |mcu: usize| mcu / across.max(1) * height;
        let mut restarts = 0_u8;
        for mcu in 0..across * down {
            if self.interval > 0 && mcu > 0 && mcu % self.interval == 0 {
                let runs = parts.iter().any(|part| part.2.ended > 0);
                let at = end(bits, runs, row(mcu))?;
                let expected = 0xd0 + restarts % 8;
                if self.file.get(at) != Some(&expected) {
                    let what = format!("the restart marker {} is missing there", restarts % 8);
                    return Err(Stop::Damaged { at, row: row(mcu), what });
                }
                restarts = restarts.wrapping_add(1);
                bits = Bits::new(self.file, at + 1);
                parts.iter_mut().for_each(|part| part.2 = State::default());
            }
            for (tables, blocks, state, known) in &mut parts {
                for _ in 0..*blocks {
                    let known = known.get_mut(mcu);
                    block(&scan, tables, &mut bits, state, known.unwrap_or(&mut 0)).map_err(|wrong| {
                        let what = match wrong {
                            Wrong::Ended => "they end before the picture does",
                            Wrong::Code => "there is a code that can't be there",
                            Wrong::Range => "a brightness is beyond what 8 bits hold",
                        };
                        Stop::Damaged { at: bits.place(), row: row(mcu), what: what.into() }
                    })?;
                }
            }
        }
        let runs = parts.iter().any(|part| part.2.ended > 0);
        let at = end(bits, runs, self.size[0])?;
        let values = parts.iter().any(|part| part.0.others.is_some_and(Table::zeros_are_values));
        if matches!(scan.coding, Coding::Sequential | Coding::Others)
            && values
            && let Some(zeros) = zeros(&self.file[self.at..at.min(self.file.len())])
        {
            let what = "a stretch of them is zero".into();
            return Err(Stop::Damaged { at: self.at + zeros, row: self.size[0] * zeros / (at - self.at), what });
        }
        let known: Vec<Vec<u64>> = parts.into_iter().map(|part| part.3).collect();
        chosen.iter().zip(known).for_each(|(chosen, known)| self.components[chosen.component].known = known);
        self.at = at.saturating_sub(1);
        Ok(())
    }

    fn read_scan(&self, segment: &[u8]) -> Option<(Vec<Chosen>, Scan)> {
        let (&count, rest) = segment.split_first()?;
        let (chosen, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let &[from, to, bits] = rest.first_chunk()?;
        let find = |&[id, tables]: &[u8; 2]| {
            let component = self.components.iter().position(|component| component.id == id)?;
            let [first, others] = [tables >> 4, tables & 15].map(usize::from);
            (first < 4 && others < 4).then_some(Chosen { component, first, others })
        };
        let chosen: Vec<Chosen> = chosen.as_chunks().0.iter().map(find).collect::<Option<_>>()?;
        let [high, low] = [bits >> 4, bits & 15].map(u32::from);
        let coding = match (self.progressive, from, high) {
            (false, ..) => Coding::Sequential,
            (true, 0, 0) => Coding::First,
            (true, 0, _) => Coding::FirstRefined,
            (true, _, 0) => Coding::Others,
            (true, ..) => Coding::OthersRefined,
        };
        let (from, to) = (u32::from(from), u32::from(to));
        let fits = match coding {
            Coding::Sequential => true,
            Coding::First | Coding::FirstRefined => to == 0,
            Coding::Others | Coding::OthersRefined => from <= to && to < 64 && chosen.len() == 1,
        };
        let low = if self.progressive { low } else { 0 };
        let distinct = (1..chosen.len()).all(|at| chosen[..at].iter().all(|other| other.component != chosen[at].component));
        (fits && low < 14 && distinct && !chosen.is_empty()).then_some((chosen, Scan { coding, from, to, low }))
    }
}

/// A component of a scan, with the numbers of its tables.
struct Chosen {
    component: usize,
    first: usize,
    others: usize,
}

/// The end of a stretch of data: the place of the next marker's code.
fn end(bits: Bits<'_>, runs: bool, row: usize) -> Result<usize, Stop> {
    let place = bits.place();
    let (at, left) = bits.end();
    if runs {
        return Err(Stop::Damaged { at, row, what: "they end before the picture does".into() });
    }
    if left > SLACK {
        return Err(Stop::Damaged { at: place, row, what: format!("{left} bytes are left over") });
    }
    Ok(at)
}

/// The first of [`ZEROS`] zeros in a row, roughly.
fn zeros(data: &[u8]) -> Option<usize> {
    let parts = data.as_chunks::<{ ZEROS / 4 }>().0;
    parts.windows(3).position(|three| three.iter().all(|part| part.iter().all(|&byte| byte == 0))).map(|part| part * ZEROS / 4)
}

fn number(bytes: &[u8]) -> Option<usize> {
    bytes.first_chunk().map(|two| usize::from(u16::from_be_bytes(*two)))
}
