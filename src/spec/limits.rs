//! How large a pipeline file may be. All readers of YAML and all errors about size use these.

/// How deep lists and maps may be nested.
pub(super) const DEEPEST: usize = 40;
/// How many values a file may hold, aliases counted as often as they are used.
pub(super) const MOST_VALUES: usize = 20_000;
