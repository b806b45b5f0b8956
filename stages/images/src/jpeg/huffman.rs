//! Huffman tables of a JPEG (ITU-T T.81, annex C), made to be walked over: a look-up says how far several coefficients reach.

use super::bits::{Bits, Ended};

/// Bits of a look-up.
const LOOK: u32 = 11;

/// What data can be wrong with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It ends too early.
    Ended,
    /// A code that its table doesn't have, or one that can't be there.
    Code,
    /// A brightness beyond what 8 bits hold.
    Range,
}

impl From<Ended> for Wrong {
    fn from(Ended: Ended) -> Self {
        Self::Ended
    }
}

/// A table of codes.
pub(super) struct Table {
    /// By the next [`LOOK`] bits: a code's length and symbol; length 0 where the code is longer.
    one: Vec<(u8, u8)>,
    /// By the next [`LOOK`] bits: the coefficients of a block that they hold.
    many: Vec<Leap>,
    /// For each length from 1 to 16: the code after the last of this length, moved to the top of 16 bits.
    after: [u32; 17],
    /// For each length: what is added to a code for its symbol's index.
    index: [i32; 17],
    symbols: Vec<u8>,
}

/// One or more coefficients of a block.
#[derive(Clone, Copy, Default)]
struct Leap {
    /// Bits of their codes and values; 0 where the first code is longer than a look-up.
    bits: u8,
    /// How many coefficients, with the zeros before them.
    along: u8,
    /// Whether the block ends after them.
    ends: bool,
}

impl Table {
    /// The table with `counts[i]` codes of `i + 1` bits; none where there are more than fit or fewer symbols.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Self> {
        let (mut after, mut index) = ([0; 17], [0; 17]);
        let (mut one, mut code, mut at) = (vec![(0, 0); 1 << LOOK], 0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            index[length as usize] = at as i32 - code as i32;
            for _ in 0..count {
                let symbol = *symbols.get(at)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let shift = LOOK - length;
                    one[(code << shift) as usize..][..1 << shift].fill((length as u8, symbol));
                }
                (code, at) = (code + 1, at + 1);
            }
            after[length as usize] = code << (16 - length);
            code <<= 1;
        }
        let many = (0..1 << LOOK).map(|bits| leap(&one, bits)).collect();
        Some(Self { one, many, after, index, symbols: symbols[..at].to_vec() })
    }

    /// Takes a code; its symbol.
    #[inline(always)]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Result<u8, Wrong> {
        let next = bits.peek();
        let (length, symbol) = self.one[(next >> (64 - LOOK)) as usize];
        if length > 0 {
            bits.skip(u32::from(length))?;
            return Ok(symbol);
        }
        self.long(bits, next)
    }

    #[cold]
    fn long(&self, bits: &mut Bits<'_>, next: u64) -> Result<u8, Wrong> {
        let top = (next >> 48) as u32;
        let length = (LOOK + 1..=16).find(|&length| top < self.after[length as usize]).ok_or(Wrong::Code)?;
        bits.skip(length)?;
        let at = (top >> (16 - length)) as i32 + self.index[length as usize];
        usize::try_from(at).ok().and_then(|at| self.symbols.get(at)).copied().ok_or(Wrong::Code)
    }

    /// Whether bits of zeros alone are coefficients that aren't zero, one after the other.
    pub(super) fn zeros_are_values(&self) -> bool {
        self.one[0].0 > 0 && self.one[0].1 & 15 > 0
    }

    /// Skips the coefficients of a sequential block that follow the first, up to its end.
    #[inline(always)]
    pub(super) fn skip_block(&self, bits: &mut Bits<'_>) -> Result<(), Wrong> {
        let mut at = 1;
        while at < 64 {
            let leap = self.many[(bits.peek() >> (64 - LOOK)) as usize];
            let to = at + u32::from(leap.along);
            if leap.bits > 0 && (to < 64 || (to == 64 && !leap.ends)) {
                bits.skip(u32::from(leap.bits))?;
                if leap.ends {
                    return Ok(());
                }
                at = to;
                continue;
            }
            // One by one, since the block may end amid what the look-up holds.
            let symbol = self.symbol(bits)?;
            let (zeros, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
            match (zeros, size) {
                (0, 0) => return Ok(()),
                // No encoder of 8-bit samples writes other ends of blocks than that in a sequential JPEG.
                (1..15, 0) => return Err(Wrong::Code),
                _ => {}
            }
            bits.peek();
            bits.skip(size)?;
            at += zeros + 1;
            if at > 64 {
                return Err(Wrong::Code);
            }
        }
        Ok(())
    }
}

/// As many coefficients as are whole in `bits`, or else the first with bits of its value beyond them.
fn leap(one: &[(u8, u8)], bits: usize) -> Leap {
    let mut leap = Leap::default();
    while u32::from(leap.bits) < LOOK {
        let left = LOOK - u32::from(leap.bits);
        let (length, symbol) = one[bits << leap.bits & ((1 << LOOK) - 1)];
        let (zeros, size) = (symbol >> 4, symbol & 15);
        let whole = u32::from(length + size) <= left;
        // Zero and more than the bits there are: the code isn't known.
        if length == 0 || u32::from(length) > left || (!whole && leap.bits > 0) || (size == 0 && (1..15).contains(&zeros)) {
            break;
        }
        leap.bits += length + size;
        if symbol == 0 {
            leap.ends = true;
            break;
        }
        leap.along += zeros + 1;
        if leap.along > 63 {
            break;
        }
    }
    leap
}
