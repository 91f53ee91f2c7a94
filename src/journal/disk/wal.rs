//! The write-ahead log, looked at before and after the storage engine recovers it.
//!
//! The engine reads it up to the first thing that it cannot read, and cuts off the rest. After a
//! crash that is a commit which was never acknowledged. Where several commits are cut off, it is
//! damage, and events would be lost without a word.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use memchr::memmem;

use super::store::STATE;

/// The files of a write-ahead log, as they were before they were recovered.
pub(super) struct LogFiles(Vec<LogFile>);

struct LogFile {
    path: PathBuf,
    /// Also when it has been removed, as it is when its events are elsewhere.
    file: File,
    data: Vec<u8>,
}

/// What recovery has cut off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CutOff {
    pub(super) bytes: usize,
    pub(super) commits: usize,
}

impl LogFiles {
    pub(super) fn read(store: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for entry in fs::read_dir(store)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                let mut file = File::open(&path)?;
                let mut data = Vec::new();
                file.read_to_end(&mut data)?;
                // They are of a fixed length at first, and zeros to their end.
                let end = data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                data.truncate(end);
                files.push(LogFile { path, file, data });
            }
        }
        Ok(Self(files))
    }

    /// What has been cut off since.
    pub(super) fn cut_off(&self) -> io::Result<CutOff> {
        let mut sum = CutOff::default();
        for LogFile { file, data, .. } in &self.0 {
            let left = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            let cut_off = data.get(left..).unwrap_or_default();
            sum.bytes += cut_off.len();
            // Each commit has the state.
            sum.commits += memmem::find_iter(cut_off, STATE).count();
        }
        Ok(sum)
    }

    /// Brings back what they were.
    pub(super) fn restore(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|LogFile { path, data, .. }| fs::write(path, data))
    }
}
