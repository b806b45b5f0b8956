//! Puts results back into the order in which their inputs came.

use std::collections::BTreeMap;

/// Holds results that came too early. Bounded by how many inputs are let in at once.
#[derive(Debug)]
pub struct Reorder<T> {
    next: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self { next: 0, early: BTreeMap::new() }
    }
}

impl<T> Reorder<T> {
    /// Takes the result of input number `sequence` (from 0).
    pub fn insert(&mut self, sequence: u64, result: T) {
        self.early.insert(sequence, result);
    }

    /// The next result in order, if it is there.
    pub fn pop(&mut self) -> Option<T> {
        let result = self.early.remove(&self.next)?;
        self.next += 1;
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_out_in_the_order_of_their_inputs() {
        let mut order = Reorder::default();
        order.insert(1, "b");
        assert_eq!(order.pop(), None);
        order.insert(0, "a");
        assert_eq!([order.pop(), order.pop(), order.pop()], [Some("a"), Some("b"), None]);
    }
}
