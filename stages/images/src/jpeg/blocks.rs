//! Walks over the blocks of one component in a scan: sequential ones, and the four kinds of a progressive JPEG (ITU-T T.81, F.2 and G.1).

use super::bits::Bits;
use super::huffman::{Table, Wrong};

/// What a scan holds of each block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// All 64 coefficients.
    Sequential,
    /// The upper bits of the first.
    First,
    /// A lower bit of the first.
    FirstRefined,
    /// The upper bits of others.
    Others,
    /// A lower bit of others.
    OthersRefined,
}

/// What is known of a scan before its data.
pub(super) struct Scan {
    pub(super) coding: Coding,
    /// The coefficients that it holds, from 0 to 63.
    pub(super) from: u32,
    pub(super) to: u32,
    /// The bits that it leaves to later scans.
    pub(super) low: u32,
}

/// Between blocks of a component: what it predicts, and how many blocks have ended already.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    first: i32,
    /// Blocks to come that hold no further coefficients.
    pub(super) ended: u32,
}

/// Tables of a component, as far as a scan needs them.
pub(super) struct Tables<'a> {
    pub(super) first: Option<&'a Table>,
    pub(super) others: Option<&'a Table>,
    /// What the first coefficient is multiplied by, if that is known.
    pub(super) step: Option<i32>,
}

impl Tables<'_> {
    /// Whether a scan has the tables it needs.
    pub(super) fn suffice(&self, coding: Coding) -> bool {
        match coding {
            Coding::Sequential => self.first.is_some() && self.others.is_some(),
            Coding::First => self.first.is_some(),
            Coding::FirstRefined => true,
            Coding::Others | Coding::OthersRefined => self.others.is_some(),
        }
    }
}

/// Walks over a block. `known` has a bit for each coefficient that isn't zero so far, in a progressive JPEG.
#[inline(always)]
pub(super) fn block(
    scan: &Scan,
    tables: &Tables<'_>,
    bits: &mut Bits<'_>,
    state: &mut State,
    known: &mut u64,
) -> Result<(), Wrong> {
    match (scan.coding, tables.first, tables.others) {
        (Coding::Sequential, Some(first), Some(others)) => {
            first_coefficient(first, tables.step, scan.low, bits, state)?;
            others.skip_block(bits)
        }
        (Coding::First, Some(first), _) => first_coefficient(first, tables.step, scan.low, bits, state),
        (Coding::FirstRefined, ..) => Ok(bits.take(1).map(|_| ())?),
        (Coding::Others, _, Some(others)) => upper(scan, others, bits, state, known),
        (Coding::OthersRefined, _, Some(others)) => refined(scan, others, bits, state, known),
        _ => Ok(()),
    }
}

/// The largest that the first coefficient of a block can be, times its step: 8-bit samples give 1024, and encoders that sharpen the edges of
/// white areas a quarter more.
const BRIGHTEST: i64 = 1280;

#[inline(always)]
fn first_coefficient(table: &Table, step: Option<i32>, low: u32, bits: &mut Bits<'_>, state: &mut State) -> Result<(), Wrong> {
    let size = u32::from(table.symbol(bits)?);
    if size > 11 {
        return Err(Wrong::Code);
    }
    if size > 0 {
        let value = bits.take(size)? as i32;
        let negative = value < 1 << (size - 1);
        state.first = state.first.wrapping_add(if negative { value - (1 << size) + 1 } else { value });
        let beyond = |step: i32| ((i64::from(state.first).abs() - 1) * i64::from(step)) << low > BRIGHTEST;
        if step.is_some_and(beyond) {
            return Err(Wrong::Range);
        }
    }
    Ok(())
}

/// The upper bits of coefficients other than the first: figure G.3 of T.81.
fn upper(scan: &Scan, table: &Table, bits: &mut Bits<'_>, state: &mut State, known: &mut u64) -> Result<(), Wrong> {
    if state.ended > 0 {
        state.ended -= 1;
        return Ok(());
    }
    let mut at = scan.from;
    while at <= scan.to {
        let symbol = table.symbol(bits)?;
        let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && zeros < 15 {
            state.ended = (1 << zeros) + bits.take(zeros)? - 1;
            return Ok(());
        }
        at += zeros;
        if at > scan.to {
            return Err(Wrong::Code);
        }
        if size > 0 {
            bits.take(size)?;
            *known |= 1 << at;
        }
        at += 1;
    }
    Ok(())
}

/// A lower bit of coefficients other than the first: figure G.7 of T.81. Those that are known have a bit each, in between.
fn refined(scan: &Scan, table: &Table, bits: &mut Bits<'_>, state: &mut State, known: &mut u64) -> Result<(), Wrong> {
    let mut at = scan.from;
    if state.ended == 0 {
        while at <= scan.to {
            let symbol = table.symbol(bits)?;
            let (mut zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match size {
                0 if zeros < 15 => {
                    state.ended = (1 << zeros) + bits.take(zeros)?;
                    break;
                }
                0 => {}
                1 => drop(bits.take(1)?),
                _ => return Err(Wrong::Code),
            }
            while at <= scan.to {
                if *known & 1 << at != 0 {
                    bits.take(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            if size == 1 {
                if at > scan.to {
                    return Err(Wrong::Code);
                }
                *known |= 1 << at;
            }
            at += 1;
        }
    }
    if state.ended > 0 {
        let others = at.min(64)..scan.to + 1;
        for _ in others.filter(|at| *known & 1 << at != 0) {
            bits.take(1)?;
        }
        state.ended -= 1;
    }
    Ok(())
}
