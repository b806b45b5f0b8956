//! The class of each pixel, from the logits of all classes.

/// The class with the largest logit at each pixel; of equal logits, the first. `logits` is `[classes, height, width]` with
/// at most 256 classes, the result `[height, width]`.
pub fn argmax(logits: &[f32], classes: usize) -> Vec<u8> {
    let pixels = logits.len() / classes.max(1);
    let mut planes = logits.chunks_exact(pixels.max(1));
    let mut largest = planes.next().map(<[f32]>::to_vec).unwrap_or_default();
    let mut class_of = vec![0; largest.len()];
    for (class, plane) in (1..=u8::MAX).zip(planes) {
        for ((largest, class_of), &logit) in largest.iter_mut().zip(&mut class_of).zip(plane) {
            let replaces = logit > *largest;
            *largest = if replaces { logit } else { *largest };
            *class_of = if replaces { class } else { *class_of };
        }
    }
    class_of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_logit_is_the_class_and_of_equal_ones_the_first() {
        // [classes, pixels]: three classes of four pixels.
        let logits = [0.0, 1.0, 2.0, f32::NAN, 0.5, 1.0, -1.0, 0.0, -0.5, 3.0, 2.0, 9.0];
        assert_eq!(argmax(&logits, 3), [1, 2, 0, 0]);
        assert_eq!(argmax(&[], 3), [0; 0]);
        let many: Vec<f32> = (0..255_u8).map(f32::from).collect();
        assert_eq!(argmax(&many, 255), [254]);
    }
}
