//! Masks of two values, eight pixels to a byte: a mask at a photograph's own size is most of what an evaluation keeps.

/// The bits of `values`, from the lowest of each byte on, and what a set one stands for. `None` where there are others than 0 and one more.
pub(super) fn packed(values: &[u8]) -> Option<(u8, Vec<u8>)> {
    let one = values.iter().copied().find(|&value| value != 0).unwrap_or(1);
    if values.iter().any(|&value| value != 0 && value != one) {
        return None;
    }
    let byte = |values: &[u8]| values.iter().enumerate().fold(0, |byte, (bit, &value)| byte | u8::from(value != 0) << bit);
    Some((one, values.chunks(8).map(byte).collect()))
}

/// The `length` values that [`packed`] packed.
pub(super) fn unpacked(one: u8, bytes: &[u8], length: usize) -> Vec<u8> {
    let table: Vec<[u8; 8]> = (0..=255_u8).map(|byte| std::array::from_fn(|bit| one * (byte >> bit & 1))).collect();
    let mut values = Vec::with_capacity(length.next_multiple_of(8));
    bytes.iter().for_each(|&byte| values.extend_from_slice(&table[usize::from(byte)]));
    values.truncate(length);
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_values_are_packed_and_others_are_not() {
        for values in [&[][..], &[0; 9], &[255, 0, 0, 255, 0, 0, 0, 0, 255], &[0, 1, 1, 0, 1, 1, 1], &[7; 17]] {
            let (one, bytes) = packed(values).unwrap();
            assert_eq!(bytes.len(), values.len().div_ceil(8));
            assert_eq!(unpacked(one, &bytes, values.len()), values);
        }
        assert_eq!(packed(&[0, 1, 2]), None);
        assert_eq!(packed(&[1, 255]), None);
    }
}
