//! The write-ahead log's files, made anew before the storage engine recovers them.
//!
//! The engine reads them up to the first thing that it cannot read, and cuts off the rest. After a
//! crash that is a commit which was never acknowledged. Anything more is damage, and events would
//! be lost without a word. So it gets copies, and the originals stay aside until it is known what
//! was cut off: by a later start, if this one is killed.
//!
//! There is another reason for copies: after a failed sync the operating system takes for written what
//! it only has in memory. They are written again: a tenth of a second for 64 MiB on a fair disk, and
//! the log is seldom twice that.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use memchr::memmem;

use super::store::STATE;

/// The files of a write-ahead log, and where their originals are.
pub(super) struct LogFiles {
    store: PathBuf,
    originals: PathBuf,
    /// The one that is written to is the last.
    copies: Vec<LogFile>,
}

struct LogFile {
    /// Files are numbered as they are begun.
    number: Option<u64>,
    /// Also when it has been removed, as it is when its events are elsewhere.
    file: File,
    data: Vec<u8>,
}

/// What recovery has cut off.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct CutOff {
    pub(super) bytes: usize,
    pub(super) commits: usize,
    /// A crash does not leave that.
    pub(super) is_damage: bool,
}

impl LogFiles {
    /// Makes the files of `store` anew, and moves those that were there to `originals`.
    pub(super) fn renew(store: &Path, originals: &Path) -> io::Result<Self> {
        let mut logs =
            Self { store: store.into(), originals: originals.into(), copies: Vec::new() };
        // Whoever was killed meanwhile has left them there.
        logs.put_back()?;
        for path in files(store)? {
            if path.extension().is_some_and(|extension| extension == "jnl") {
                let copy = logs.renew_file(&path)?;
                logs.copies.push(copy);
            }
        }
        logs.copies.sort_by_key(|copy| copy.number);
        logs.sync()?;
        Ok(logs)
    }

    fn renew_file(&self, path: &Path) -> io::Result<LogFile> {
        let mut data = fs::read(path)?;
        // They are of a fixed length at first, and zeros to their end.
        data.truncate(data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&data)?;
        file.sync_all()?;
        move_into(&self.originals, path)?;
        fs::rename(new, path)?;
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        Ok(LogFile { number, file, data })
    }

    /// What has been cut off since.
    pub(super) fn cut_off(&self) -> io::Result<CutOff> {
        let mut sum = CutOff::default();
        for (place, LogFile { file, data, .. }) in self.copies.iter().enumerate() {
            let left = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            let cut_off = data.get(left..).unwrap_or_default();
            // Each commit has the state.
            let commits = memmem::find_iter(cut_off, STATE).count();
            // Before a file is begun, the one before it is synced as a whole.
            let may_be_torn = place + 1 == self.copies.len();
            sum.bytes += cut_off.len();
            sum.commits += commits;
            sum.is_damage |= commits > usize::from(may_be_torn);
            sum.is_damage |= !may_be_torn && !cut_off.is_empty();
        }
        Ok(sum)
    }

    /// Goes back to the originals.
    pub(super) fn put_back(&self) -> io::Result<()> {
        for original in files(&self.originals)? {
            move_into(&self.store, &original)?;
        }
        self.sync()
    }

    /// Lets go of the originals: from now on the copies are written to.
    pub(super) fn forget_originals(&self) -> io::Result<()> {
        files(&self.originals)?.iter().try_for_each(fs::remove_file)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        [&self.store, &self.originals].into_iter().try_for_each(|path| File::open(path)?.sync_all())
    }
}

fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

fn move_into(directory: &Path, file: &Path) -> io::Result<()> {
    fs::rename(file, directory.join(file.file_name().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const COMMITS: [&[u8]; 3] = [b"one ", b"two ", b"three "];

    /// A log with three commits in each of `names`.
    fn log(names: &[&str]) -> (TempDir, PathBuf, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let (store, originals) = (directory.path().join("store"), directory.path().join("aside"));
        fs::create_dir(&store).unwrap();
        fs::create_dir(&originals).unwrap();
        for name in names {
            let commits = COMMITS.map(|commit| [commit, STATE].concat()).concat();
            fs::write(store.join(name), [&commits[..], &[0; 1_000]].concat()).unwrap();
        }
        (directory, store, originals)
    }

    fn cut(path: &Path, bytes: u64) {
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - bytes).unwrap();
    }

    #[test]
    fn a_crash_can_only_tear_the_last_commit_of_the_last_file() {
        let last = (COMMITS[2].len() + STATE.len()) as u64;
        for (name, bytes, is_damage) in [
            ("10.jnl", 0, false),
            ("10.jnl", 1, false),
            ("10.jnl", last, false),
            ("10.jnl", 2 * last, true),
            ("9.jnl", 1, true),
        ] {
            let (_directory, store, originals) = log(&["10.jnl", "9.jnl"]);
            let logs = LogFiles::renew(&store, &originals).unwrap();
            cut(&store.join(name), bytes);
            let cut_off = logs.cut_off().unwrap();
            assert_eq!((cut_off.bytes as u64, cut_off.is_damage), (bytes, is_damage), "{name}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_log_is_written_anew_at_each_start() {
        use std::os::unix::fs::MetadataExt;

        let (_directory, store, originals) = log(&["0.jnl"]);
        let log = store.join("0.jnl");
        let (old, whole) = (fs::metadata(&log).unwrap().ino(), fs::read(&log).unwrap());
        LogFiles::renew(&store, &originals).unwrap();
        assert_ne!(fs::metadata(&log).unwrap().ino(), old);
        assert!(whole.starts_with(&fs::read(&log).unwrap()));
        assert_eq!(fs::metadata(originals.join("0.jnl")).unwrap().ino(), old);
    }

    #[test]
    fn a_log_that_was_not_judged_is_as_it_was_at_the_next_start() {
        let (_directory, store, originals) = log(&["0.jnl"]);
        let log = store.join("0.jnl");
        let whole = fs::read(&log).unwrap();
        for _ in 0..2 {
            let logs = LogFiles::renew(&store, &originals).unwrap();
            assert_eq!(logs.cut_off().unwrap(), CutOff::default());
            cut(&log, 40);
            assert_eq!(logs.cut_off().unwrap().bytes, 40);
        }
        LogFiles::renew(&store, &originals).unwrap().put_back().unwrap();
        assert_eq!(fs::read(&log).unwrap(), whole);
        LogFiles::renew(&store, &originals).unwrap().forget_originals().unwrap();
        cut(&log, 40);
        let logs = LogFiles::renew(&store, &originals).unwrap();
        assert_eq!(logs.cut_off().unwrap(), CutOff::default(), "it is the log now");
    }
}
