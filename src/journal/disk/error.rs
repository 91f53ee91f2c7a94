//! Why a directory cannot be read or written.

/// What is wrong with a store; whoever tells of it names its path.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    #[error("another process uses it")]
    InUse,
    #[error("it is of format {0}, which this version of herald does not know")]
    Format(u32),
    #[error("it was not written by this version's storage engine")]
    Engine,
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error(
        "its write-ahead log is damaged: {bytes} bytes with {commits} commits cannot be read; bring \
         it back from a copy, or go on without them by starting once with --sync never"
    )]
    Damaged { bytes: usize, commits: usize },
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The storage engine failed before, and must be opened anew.
    #[error("an earlier write failed")]
    Poisoned,
    #[error("the storage engine panicked")]
    Panic,
    #[error("{0:?}")]
    Other(fjall::Error),
}

/// What is there is not what was written.
#[derive(Debug, thiserror::Error)]
#[error("it is corrupt: {0}")]
pub(super) struct Corrupt(pub(super) &'static str);

impl From<fjall::Error> for StoreError {
    fn from(error: fjall::Error) -> Self {
        use fjall::{Error, LsmError};
        match error {
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => Self::Io(error),
            Error::Locked => Self::InUse,
            Error::InvalidVersion(_) | Error::Storage(LsmError::InvalidVersion(_)) => Self::Engine,
            Error::Poisoned => Self::Poisoned,
            Error::JournalRecovery(_) | Error::InvalidTrailer | Error::InvalidTag(_) => {
                Corrupt("its write-ahead log cannot be read").into()
            }
            Error::Storage(_) | Error::Unrecoverable | Error::Decompress(_) => {
                Corrupt("a file of it cannot be read").into()
            }
            other => Self::Other(other),
        }
    }
}
