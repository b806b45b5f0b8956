//! trains
