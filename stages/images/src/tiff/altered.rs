//! A file that is read otherwise than it is: two bytes replaced, and the bits of some bytes in reverse order. So the decoder reads kinds of
//! TIFF that it doesn't know.

use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

/// A file, read with changes.
pub(super) struct Altered<R> {
    file: R,
    at: u64,
    /// Bytes to be replaced, with their places.
    pub(super) bytes: Vec<(u64, u8)>,
    /// Stretches in which the first bit of a byte is its lowest.
    pub(super) reversed: Vec<Range<u64>>,
}

impl<R: Seek> Altered<R> {
    /// A file as it is, from its start.
    pub(super) fn new(mut file: R) -> Result<Self> {
        file.rewind()?;
        Ok(Self { file, at: 0, bytes: Vec::new(), reversed: Vec::new() })
    }
}

impl<R: Read> Read for Altered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.file.read(buffer)?;
        let read = self.at..self.at + count as u64;
        for range in &self.reversed {
            let both = range.start.max(read.start)..range.end.min(read.end);
            if both.start < both.end {
                let part = &mut buffer[(both.start - read.start) as usize..(both.end - read.start) as usize];
                part.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
            }
        }
        for &(at, byte) in self.bytes.iter().filter(|(at, _)| read.contains(at)) {
            buffer[(at - read.start) as usize] = byte;
        }
        self.at = read.end;
        Ok(count)
    }
}

impl<R: Seek> Seek for Altered<R> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn changes_are_where_they_should_be_however_the_file_is_read() {
        let changed = |step: usize| {
            let mut file = Altered::new(Cursor::new(vec![1_u8; 10])).unwrap();
            (file.bytes, file.reversed) = (vec![(4, 9)], vec![2..4, 6..7]);
            file.seek(SeekFrom::Start(1)).unwrap();
            let mut bytes = vec![0; 9];
            bytes.chunks_mut(step).for_each(|part| file.read_exact(part).unwrap());
            bytes
        };
        for step in 1..10 {
            assert_eq!(changed(step), [1, 128, 128, 9, 1, 128, 1, 1, 1], "{step}");
        }
    }
}
