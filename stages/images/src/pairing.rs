//! Joins the names of images with those of masks: by their bytes, then by their Unicode normal form, each name once. Knows no files.

use std::collections::{BTreeMap, BTreeSet};

use crate::form::normal;

/// What joins two files, such as the captures of their names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NameKey {
    /// As the bytes have it.
    pub(crate) exact: Vec<String>,
    /// In normal form.
    pub(crate) normal: Vec<String>,
}

impl NameKey {
    /// Of a single name.
    pub(crate) fn of(name: &str) -> Self {
        Self { exact: vec![name.into()], normal: vec![normal(name).into_owned()] }
    }
}

/// Who belongs together, by their places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairing {
    /// Of each left one, its right one.
    pub(crate) partner: BTreeMap<usize, usize>,
    /// Left and right ones that differ in Unicode form alone, so that nobody knows who belongs to whom.
    pub(crate) unclear: Vec<(Vec<usize>, Vec<usize>)>,
    /// Left ones without any.
    pub(crate) left: Vec<usize>,
    /// Right ones without any.
    pub(crate) right: Vec<usize>,
}

/// Joins each key of `left` with at most one of `right`. No side has a key twice.
pub(crate) fn pair_up(left: &BTreeMap<usize, NameKey>, right: &BTreeMap<usize, NameKey>) -> Pairing {
    let mut pairing = Pairing::default();
    let by_bytes: BTreeMap<&[String], usize> = right.iter().map(|(&at, key)| (&key.exact[..], at)).collect();
    let mut rest: BTreeMap<&[String], (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (&at, key) in left {
        match by_bytes.get(&key.exact[..]) {
            Some(&other) => {
                taken.insert(other);
                pairing.partner.insert(at, other);
            }
            None => rest.entry(&key.normal).or_default().0.push(at),
        }
    }
    for (&at, key) in right.iter().filter(|(at, _)| !taken.contains(at)) {
        rest.entry(&key.normal).or_default().1.push(at);
    }
    for both in rest.into_values() {
        match (&both.0[..], &both.1[..]) {
            (&[left], &[right]) => drop(pairing.partner.insert(left, right)),
            (left, []) => pairing.left.extend(left),
            ([], right) => pairing.right.extend(right),
            _ => pairing.unclear.push(both),
        }
    }
    pairing.left.sort_unstable();
    pairing.right.sort_unstable();
    pairing
}

/// Names by what joins them, where one may be the partner of many.
pub(crate) struct ByKey<'a> {
    exact: BTreeMap<&'a [String], usize>,
    normal: BTreeMap<&'a [String], Vec<usize>>,
}

impl<'a> ByKey<'a> {
    /// No key is there twice.
    pub(crate) fn of(keys: &'a BTreeMap<usize, NameKey>) -> Self {
        let mut normal = BTreeMap::<&[String], Vec<usize>>::new();
        keys.iter().for_each(|(&at, key)| normal.entry(&key.normal).or_default().push(at));
        Self { exact: keys.iter().map(|(&at, key)| (&key.exact[..], at)).collect(), normal }
    }

    /// The one of this key: by its bytes, or else the only one of its normal form. `exactly`: by its bytes alone.
    pub(crate) fn partner(&self, key: &NameKey, exactly: bool) -> Option<usize> {
        let alike = match self.normal.get(&key.normal[..]).map(Vec::as_slice) {
            Some(&[one]) if !exactly => Some(one),
            _ => None,
        };
        self.exact.get(&key.exact[..]).copied().or(alike)
    }

    /// Another one than `at` with the same normal form.
    pub(crate) fn twin(&self, at: usize, key: &NameKey) -> Option<usize> {
        self.normal.get(&key.normal[..])?.iter().copied().find(|&other| other != at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NFC: &str = "\u{1ebf}";
    const NFD: &str = "e\u{302}\u{301}";
    const MIXED: &str = "\u{ea}\u{301}";

    /// Pairs, then what is unclear, and what is left over on both sides.
    fn paired(left: &[&str], right: &[&str]) -> (Vec<(usize, usize)>, usize, usize, usize) {
        let [left, right] = [left, right].map(|names| names.iter().map(|name| NameKey::of(name)).enumerate().collect());
        let Pairing { partner, unclear, left, right } = pair_up(&left, &right);
        (partner.into_iter().collect(), unclear.len(), left.len(), right.len())
    }

    #[test]
    fn bytes_come_first_and_then_the_normal_form() {
        assert_eq!(paired(&["a", NFC], &[NFD, "a"]), (vec![(0, 1), (1, 0)], 0, 0, 0));
        assert_eq!(paired(&[NFC, NFD], &[NFD, NFC]), (vec![(0, 1), (1, 0)], 0, 0, 0));
        assert_eq!(paired(&[NFC, NFD, MIXED], &[NFD, NFC, MIXED]), (vec![(0, 1), (1, 0), (2, 2)], 0, 0, 0));
        // Of two, one is joined by its bytes; the others can only belong together.
        assert_eq!(paired(&[NFC, NFD], &[MIXED, NFC]), (vec![(0, 1), (1, 0)], 0, 0, 0));
        assert_eq!(paired(&[NFC, NFD], &[NFC]), (vec![(0, 0)], 0, 1, 0));
        assert_eq!(paired(&["a"], &["b"]), (vec![], 0, 1, 1));
    }

    #[test]
    fn one_may_be_the_partner_of_many_if_it_is_the_only_one() {
        let keys: BTreeMap<usize, NameKey> =
            [NFC, "a", "b", "e\u{301}", "\u{e9}"].map(NameKey::of).into_iter().enumerate().collect();
        let by_key = ByKey::of(&keys);
        let partner = |name: &str, exactly| by_key.partner(&NameKey::of(name), exactly);
        assert_eq!([partner(NFD, false), partner(NFD, true), partner(NFC, true)], [Some(0), None, Some(0)]);
        assert_eq!([partner("\u{e9}", false), partner("e", false)], [Some(4), None]);
        assert_eq!([by_key.twin(3, &keys[&3]), by_key.twin(0, &keys[&0])], [Some(4), None]);
    }

    #[test]
    fn what_could_be_either_is_unclear() {
        assert_eq!(paired(&[NFC, NFD], &[MIXED]), (vec![], 1, 0, 0));
        assert_eq!(paired(&[MIXED], &[NFC, NFD]), (vec![], 1, 0, 0));
        assert_eq!(paired(&[NFC, "b"], &[MIXED, NFD, "b"]), (vec![(1, 2)], 1, 0, 0));
    }
}
