//! Ending streams before their time: log-out and revocation, told to every node by the journal.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::task::spawn_local;

use super::{Core, Hub, PublishError};
use crate::{
    channel::View,
    id::LastEventId,
    journal::{JournalError, Reading, Start},
    revocations::{MAX_REVOKED, Notice, Revocations},
};

/// How often notices are looked at to be repeated, however young the history is.
const MIN_REPEAT: Duration = Duration::from_secs(1);

impl Hub {
    /// Ends the streams of a user, on every node; the user may come back.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub async fn log_out(&self, user: &str) -> Result<(), PublishError> {
        self.publish(Notice::User { user: user.into() }.event()).await.map(drop)
    }

    /// Refuses the token with this id (`jti`) and ends its streams, on every node, until it expires
    /// by itself at `exp`, in seconds since 1970.
    ///
    /// Remembered as long as the hub runs; over a restart by the journal, whose history may let go
    /// of it early.
    ///
    /// # Errors
    /// Those of [`publish`](Self::publish).
    pub async fn revoke(&self, token_id: &str, exp: u64) -> Result<(), PublishError> {
        self.recall_once().await.map_err(PublishError::Journal)?;
        if self.0.revocations.len() >= MAX_REVOKED {
            return Err(PublishError::Busy);
        }
        self.publish(Notice::Token { jti: token_id.into(), exp }.event()).await.map(drop)
    }

    /// Whether a token is revoked.
    pub(crate) async fn is_revoked(&self, token_id: &str) -> Result<bool, JournalError> {
        self.recall_once().await?;
        Ok(self.0.revocations.has(token_id))
    }

    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        &self.0.revocations
    }

    /// Reads what the journal has of revocations from before, if that has not been done.
    pub(crate) async fn recall_once(&self) -> Result<(), JournalError> {
        self.0.recalled.get_or_try_init(|| self.recall()).await.map(drop)
    }

    /// Reads the notices that the journal has from before, and sees to it that it keeps them.
    async fn recall(&self) -> Result<(), JournalError> {
        let (selector, start) = (Notice::channel().into(), Start::After(LastEventId::Earliest));
        let mut cursor = self.0.journal.place(&start, &selector, &View::All).await?.cursor;
        loop {
            let page = self.0.journal.page(&selector, &View::All, cursor, usize::MAX).await?;
            match page {
                Reading::Page(page) => {
                    Notice::all_in(&page.bytes).for_each(|notice| self.0.revocations.take(notice));
                    cursor = page.through;
                    if page.at_head {
                        break;
                    }
                }
                Reading::Overrun { floor, .. } => cursor = floor,
                Reading::Away => {
                    let why = "revoked tokens are not known yet".into();
                    return Err(JournalError::Unavailable(why));
                }
            }
        }
        spawn_local(repeat_notices(Arc::downgrade(&self.0)));
        Ok(())
    }
}

/// Publishes notices again before the history's age lets go of them.
async fn repeat_notices(core: Weak<Core>) {
    while let Some(core) = core.upgrade() {
        let max_age = core.journal.max_age();
        for notice in core.revocations.to_repeat(max_age / 2) {
            // Otherwise the next time.
            let _ = core.journal.append(notice.event().into()).await;
        }
        drop(core);
        tokio::time::sleep((max_age / 8).max(MIN_REPEAT)).await;
    }
}
