//! `cache`: keeps decoded, resized pairs in the user's cache folder, so that a file is decoded once and not in every epoch of every run.
//!
//! By what a pair is found is in `key`, its file's format in `entry`, the folder with its bound in `store`, and what files hold in `digests`.

mod bits;
mod digests;
mod entry;
mod key;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pipeline_contract::{
    BuildContext, Cache, Checked, Events, Finding, ItemContext, OptionSpec, OptionType, Place, Recalled, Result, StageKind,
    Warnings, files,
};
use serde::Deserialize;
use serde_json::json;

use self::digests::Digests;
use self::key::{Key, set_of};
use self::store::{Kept, Store, own};
use crate::{ImagePair, SampleFiles};

/// What is checked of the options: an amount of memory is a number only when the stage is built.
#[derive(Deserialize)]
struct Folder {
    folder: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Options {
    folder: Option<PathBuf>,
    limit: u64,
}

/// Declares `cache`.
///
/// A pair is found by the content of its files and by the stages before the cache with their options, so a file that changes is decoded again, and
/// runs share what they have in common. Training is the same to the byte with and without. Where nothing can be kept (a full disk, a folder that can't
/// be written), the run says so once and goes on.
pub fn kind() -> StageKind {
    StageKind::cache(
        "cache",
        "keeps what the stages before it made of each sample, for later epochs and runs",
        |options, cx| Ok(Stage::new(options, cx)),
    )
    .option(
        OptionSpec::optional(
            "folder",
            OptionType::Path,
            "the folder in which `pipeline-samples` keeps them; by default the user's cache folder",
        )
        .harmless(),
    )
    .option(
        OptionSpec::new(
            "limit",
            OptionType::Bytes,
            20_u64 << 30,
            "what the folder may take of the disk, for all that share it",
        )
        .harmless(),
    )
    .check::<Folder>(|options, inputs| {
        let empty = options.folder.as_ref().is_some_and(|folder| folder.as_os_str().is_empty());
        let finding = Finding::error(Place::Option("folder".into()), "an empty path is no folder")
            .help("leave `folder` out, or name one");
        Checked { facts: inputs.first().cloned().unwrap_or_default(), findings: empty.then_some(finding).into_iter().collect() }
    })
    .example("- {id: cache, use: cache, with: {limit: 20GiB}}")
}

struct Stage {
    /// `None` where the folder can't be used.
    store: Option<Store>,
    digests: Digests,
    /// Where doubts are told, in the name of the stage that had them.
    warnings: Warnings,
    /// Whether it was said that nothing more is kept.
    told: AtomicBool,
    used: Used,
}

/// How often it had what it was asked for; the run's summary has it in the end.
struct Used {
    name: String,
    recalled: AtomicU64,
    made: AtomicU64,
    events: Arc<dyn Events>,
}

impl Drop for Used {
    fn drop(&mut self) {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        self.events.summarize(&self.name, json!({"recalled": count(&self.recalled), "made": count(&self.made)}));
    }
}

impl Stage {
    fn new(options: Options, cx: &BuildContext) -> Self {
        let root = options.folder.unwrap_or_else(files::cache);
        let (set, about) = set_of(&cx.before, cx.facts.first());
        let store = match Store::open(&root, &set, &about, options.limit) {
            Ok(store) => {
                tracing::debug!("{}: {} is used", cx.stage, store.folder().display());
                Some(store)
            }
            Err(error) => {
                tracing::warn!(
                    "{}: nothing is kept, and all is decoded in each epoch: {} can't be used: {error} (name another `folder`)",
                    cx.stage,
                    root.display()
                );
                None
            }
        };
        let digests = Digests::load(&own(&root));
        let by = cx.before.first().map_or(cx.stage.as_str(), |before| before.stage.as_str());
        let used = Used {
            name: format!("cache_{}", cx.stage),
            recalled: AtomicU64::new(0),
            made: AtomicU64::new(0),
            events: cx.events.clone(),
        };
        Self { store, digests, warnings: cx.warnings().in_the_name_of(by), told: AtomicBool::new(false), used }
    }

    /// Says once why no more is kept.
    fn tell(&self, stage: &str, why: &str) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("{stage}: no more samples are kept: {why}; the others are decoded in each epoch");
        }
    }
}

impl Cache for Stage {
    type From = SampleFiles;
    type Kept = ImagePair;
    /// `None` where the sample's files can't be read, or may change within the time that a file system tells apart.
    type Key = Option<Key>;

    fn recall(&self, from: &SampleFiles, _: &ItemContext<'_>) -> Result<Recalled<Option<Key>, ImagePair>> {
        let key = self.store.as_ref().and_then(|_| Key::of(from, &self.digests));
        let found = self.store.as_ref().zip(key.as_ref()).and_then(|(store, key)| {
            let pair = store.load(&key.name())?;
            // Of a copy under another name the doubts would name the wrong file.
            pair.doubts.iter().all(|doubt| key.names(&doubt.subject)).then_some(pair)
        });
        let Some(pair) = found else {
            self.used.made.fetch_add(1, Ordering::Relaxed);
            return Ok(Recalled::Missing(key));
        };
        self.used.recalled.fetch_add(1, Ordering::Relaxed);
        pair.doubts.iter().try_for_each(|doubt| self.warnings.tell(doubt))?;
        Ok(Recalled::Kept(pair))
    }

    fn keep(&self, key: Option<Key>, made: &ImagePair, cx: &ItemContext<'_>) {
        // A file that changed while it was decoded: the pixels may be those of the new content.
        let (Some(store), Some(key)) = (&self.store, key.filter(Key::holds)) else { return };
        match store.keep(&key.name(), made) {
            Ok(Kept::There) => {}
            Ok(Kept::NoRoom) => {
                self.tell(cx.stage, &format!("the folder has reached its limit of {} bytes (raise `limit`)", store.limit()))
            }
            Ok(Kept::ReadOnly) => self.tell(cx.stage, &format!("{} can only be read", store.folder().display())),
            Err(error) => self.tell(cx.stage, &format!("{}: {error}", store.folder().display())),
        }
    }
}
