//! Room for publications that wait for their store: how many bytes may wait at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{JournalError, intake::Arrival};

/// In bytes.
const SIZE: usize = 64 * 1024 * 1024;

pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(SIZE)))
    }

    /// Waits for room; it is taken until the permit is dropped.
    pub(super) async fn enter(
        &self,
        arrival: &Arrival,
    ) -> Result<OwnedSemaphorePermit, JournalError> {
        let bytes = arrival.bytes().clamp(1, SIZE) as u32;
        // It is never closed.
        self.0.clone().acquire_many_owned(bytes).await.map_err(|_| JournalError::Closed)
    }
}
