//! Reads the bits of entropy-coded data (ITU-T T.81, F.2.2.5): up to the next marker, with stuffed zeros left out.

/// The data ended before the bits that were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended;

/// A reader of bits from `at` on.
pub(super) struct Bits<'a> {
    file: &'a [u8],
    /// The first byte that isn't in `buffer`.
    at: usize,
    /// The next bits, from the top; zeros after them.
    buffer: u64,
    /// Bits in `buffer`.
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(file: &'a [u8], at: usize) -> Self {
        Self { file, at, buffer: 0, count: 0 }
    }

    /// The byte that is read next, roughly: stuffed zeros among the buffered ones aren't counted.
    pub(super) fn place(&self) -> usize {
        self.at.saturating_sub(self.count as usize / 8)
    }

    /// The next bits, at least 32 unless the data ends before, from the top of the number; zeros after the end.
    #[inline(always)]
    pub(super) fn peek(&mut self) -> u64 {
        if self.count < 32 {
            self.fill();
        }
        self.buffer
    }

    /// Takes up to 32 of the bits that were peeked at.
    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) -> Result<(), Ended> {
        self.count = self.count.checked_sub(bits).ok_or(Ended)?;
        self.buffer <<= bits;
        Ok(())
    }

    /// Takes up to 16 bits, as a number.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> Result<u32, Ended> {
        let next = self.peek();
        self.skip(bits)?;
        // Two shifts, since one of 64 is none.
        Ok((next >> 1 >> (63 - bits)) as u32)
    }

    fn fill(&mut self) {
        if let Some(next) = self.file.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let next = u64::from_be_bytes(*next);
            if !holds_255(next) {
                let bytes = (63 - self.count) / 8;
                // What is beyond the bytes that count is read again, to the same bits.
                self.buffer |= next >> self.count;
                self.at += bytes as usize;
                self.count += bytes * 8;
                self.buffer &= u64::MAX << (64 - self.count);
                return;
            }
        }
        while self.count <= 48 {
            let Some((byte, after)) = data(self.file, self.at) else { return };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at = after;
        }
    }

    /// Ends a stretch of data: the place of the next marker's code, and how many whole bytes weren't read before it.
    pub(super) fn end(self) -> (usize, usize) {
        let (mut at, mut left) = (self.at, self.count as usize / 8);
        while let Some((_, after)) = data(self.file, at) {
            (at, left) = (after, left + 1);
        }
        while self.file.get(at) == Some(&0xff) {
            at += 1;
        }
        (at, left)
    }
}

/// A byte of data and the place after it; none at a marker and at the end of the file. 255 is data where a zero follows.
fn data(file: &[u8], at: usize) -> Option<(u8, usize)> {
    match file.get(at)? {
        0xff => {
            // As other decoders do, also after fill bytes.
            let fill = file[at..].iter().take_while(|&&byte| byte == 0xff).count();
            (file.get(at + fill) == Some(&0)).then_some((0xff, at + fill + 1))
        }
        byte => Some((*byte, at + 1)),
    }
}

/// Whether one of eight bytes is 255.
fn holds_255(bytes: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = ONES << 7;
    // A byte of the complement is zero.
    (!bytes).wrapping_sub(ONES) & bytes & TOPS != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_data_without_stuffed_zeros() {
        let file = [1, 2, 0xff, 0, 0x80, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0xff, 0xff, 0xd9, 1];
        let mut bits = Bits::new(&file, 0);
        let bytes: Vec<u32> = (0..17).map(|_| bits.take(8).unwrap()).collect();
        assert_eq!(bytes, [1, 2, 255, 128, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(bits.take(1), Err(Ended));
        assert_eq!(bits.end(), (20, 0));
        let mut bits = Bits::new(&file, 1);
        assert_eq!([bits.take(3), bits.take(5), bits.take(9), bits.take(0)], [Ok(0), Ok(2), Ok(0b1_1111_1111), Ok(0)]);
        assert_eq!(bits.end(), (20, 13));
    }

    #[test]
    fn a_byte_of_255_is_found_wherever_it_is() {
        for at in 0..8 {
            let mut bytes = [0, 254, 127, 128, 1, 0, 200, 3];
            assert!(!holds_255(u64::from_be_bytes(bytes)));
            bytes[at] = 255;
            assert!(holds_255(u64::from_be_bytes(bytes)));
        }
        assert!(holds_255(u64::MAX) && !holds_255(0x0100_0000_0000_0000));
    }
}
