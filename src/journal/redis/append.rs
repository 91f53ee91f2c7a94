//! The appender: what has been published meanwhile goes to Redis at once, so that publishers share
//! the way there, and Redis has less to do for each.

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::store::{Appended, Store};
use crate::journal::{JournalError, intake::Arrival};

/// The most publications of a group.
const MAX_GROUP: usize = 256;
/// And their bytes, unless it is a single one.
const MAX_BYTES: usize = 1024 * 1024;

/// A publication that waits for its answer.
pub(super) struct Order {
    pub(super) arrival: Arrival,
    pub(super) answer: oneshot::Sender<Result<Appended, JournalError>>,
    /// Its share of the room for those that wait.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Appends what comes, one group after the other, until nobody is left who could send more.
pub(super) async fn append(store: Store, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(first) = orders.recv().await {
        let mut bytes = first.arrival.bytes();
        let mut group = vec![first];
        while group.len() < MAX_GROUP
            && bytes < MAX_BYTES
            && let Ok(next) = orders.try_recv()
        {
            bytes += next.arrival.bytes();
            group.push(next);
        }
        let (arrivals, answers): (Vec<_>, Vec<_>) =
            group.into_iter().map(|order| (order.arrival, order.answer)).unzip();
        let outcomes = match store.append(arrivals).await {
            Ok(outcomes) => outcomes,
            Err(error) => answers.iter().map(|_| Err(error.clone())).collect(),
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Who waits no longer has been told that it may be kept.
            let _ = answer.send(outcome);
        }
    }
}
