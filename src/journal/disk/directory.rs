//! The directory of a journal: one process has it, and it is whole or not there.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    panic::catch_unwind,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    error::{Corrupt, StoreError},
    rebuild::rebuild,
    state::State,
    store::Store,
    wal::{CutOff, LogFiles},
};

/// A directory that is this process's as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes a directory, and makes it if there is none.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        create(path)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Opens the store, and makes it if there is none. If `may_lose`, commits that were not synced
    /// may be missing at the end.
    pub(super) fn open_store(&self, may_lose: bool) -> Result<(Arc<Store>, State), StoreError> {
        let (store, new) = (self.path.join("store"), self.path.join("new"));
        if !store.try_exists()? {
            // Whoever is killed meanwhile leaves nothing that could not be opened.
            match fs::remove_dir_all(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => Store::create(&new)?,
            }
            fs::rename(&new, &store)?;
            File::open(&self.path)?.sync_all()?;
        }
        let originals = self.path.join("originals");
        create(&originals)?;
        let logs = LogFiles::renew(&store, &originals)?;
        let recovered = self.recover(&store, &logs, may_lose);
        match recovered {
            Ok(_) => logs.forget_originals()?,
            // It is not herald that decides to do without what was cut off.
            Err(_) => logs.put_back()?,
        }
        recovered
    }

    fn recover(
        &self,
        store: &Path,
        logs: &LogFiles,
        may_lose: bool,
    ) -> Result<(Arc<Store>, State), StoreError> {
        // The engine may not expect what it finds.
        let opened = catch_unwind(|| Store::open(store));
        let (store, state) =
            opened.unwrap_or(Err(Corrupt("its storage engine gives it up").into()))?;
        let CutOff { bytes, commits, is_damage } = logs.cut_off()?;
        if is_damage && !may_lose {
            return Err(StoreError::Damaged { bytes, commits });
        }
        if bytes > 0 {
            log::warn!("repaired the end of the journal {self}: bytes={bytes} commits={commits}");
        }
        // Of a commit that a crash tore, no part is elsewhere; and an event is above the head only
        // where the log has a commit in a wrong place.
        let is_whole = commits == 0 && !is_damage && store.last_event()? <= Some(state.ends.head);
        let state = if is_whole { state } else { rebuild(&store, state)? };
        Ok((store, state))
    }
}

/// Makes a directory, and sees to it that it is still there after a power cut.
fn create(path: &Path) -> io::Result<()> {
    let new: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    fs::create_dir_all(path)?;
    new.iter().filter_map(|path| path.parent()).try_for_each(|parent| {
        let parent = if parent == "" { Path::new(".") } else { parent };
        File::open(parent)?.sync_all()
    })
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
