//! Random choices that depend on (seed, epoch, sample, stage) and on nothing else: no worker, no thread, no clock.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use sha2::{Digest, Sha256};

/// The generator handed to stages: counter-based, portable, the same on every machine.
pub type Rng = ChaCha8Rng;

/// The generator for one stage's choices about one sample in one epoch.
///
/// The key is SHA-256 over the length-prefixed parts, so that no two different tuples share a stream.
pub fn stage_rng(seed: u64, epoch: u64, sample: &str, stage: &str) -> Rng {
    let mut hash = Sha256::new();
    hash.update(b"pipeline random stream 1");
    hash.update(seed.to_le_bytes());
    hash.update(epoch.to_le_bytes());
    for part in [sample, stage] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    Rng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng as _;

    #[test]
    fn every_part_of_the_key_changes_the_stream() {
        let first = |seed, epoch, sample, stage| stage_rng(seed, epoch, sample, stage).next_u64();
        let base = first(1, 2, "ab", "c");
        assert_eq!(base, first(1, 2, "ab", "c"));
        for other in [first(2, 2, "ab", "c"), first(1, 3, "ab", "c"), first(1, 2, "a", "bc"), first(1, 2, "ab", "d")] {
            assert_ne!(base, other);
        }
    }
}
