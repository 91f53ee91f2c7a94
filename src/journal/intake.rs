//! What comes into a journal: each event gets its id, and a repeated publication its first receipt.

use std::{sync::Arc, time::Instant};

use super::{
    Batch, Draft, Entry, Fingerprint, IdempotencyKey, JournalError, News, Receipt,
    receipts::Receipts,
};
use crate::id::EventId;

/// Gives ids and receipts. A journal has one, under the lock or in the thread that orders its
/// events.
#[derive(Debug)]
pub(super) struct Intake {
    /// The newest id given out.
    head: EventId,
    receipts: Receipts,
    is_closed: bool,
}

/// A publication on its way into the journal.
pub(super) struct Arrival {
    pub(super) drafts: Vec<Draft>,
    pub(super) key: Option<(IdempotencyKey, Fingerprint)>,
}

impl From<Batch> for Arrival {
    fn from(batch: Batch) -> Self {
        let drafts: Vec<_> = batch.events.into_iter().map(Draft::from).collect();
        let key = batch.key.map(|key| (key, Fingerprint::of(&drafts)));
        Self { drafts, key }
    }
}

impl Arrival {
    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.drafts.iter().map(|draft| draft.body.len() + 64 * (1 + draft.channels.len())).sum()
    }
}

/// What becomes of it.
pub(super) struct Accepted {
    /// Nothing if it is a repetition.
    pub(super) news: News,
    pub(super) receipt: Receipt,
    /// If it is no repetition, the key that it came with.
    pub(super) key: Option<(IdempotencyKey, Fingerprint)>,
}

impl Intake {
    /// Gives out the ids after `head`.
    pub(super) fn new(head: EventId, receipts: Receipts) -> Self {
        Self { head, receipts, is_closed: false }
    }

    pub(super) fn accept(
        &mut self,
        Arrival { drafts, key }: Arrival,
        now: u64,
    ) -> Result<Accepted, JournalError> {
        if self.is_closed {
            return Err(JournalError::Closed);
        }
        self.receipts.forget_old(Instant::now());
        if let Some((key, fingerprint)) = &key
            && let Some(receipt) = self.receipts.get(key, *fingerprint)?
        {
            return Ok(Accepted { news: News::default(), receipt: receipt.clone(), key: None });
        }
        let entries = drafts.into_iter().map(|draft| {
            self.head = self.head.next(now);
            Arc::new(draft.at(self.head))
        });
        let news: News = entries.collect();
        let receipt: Receipt = news.entries().iter().map(|entry| Entry::wire_id(entry)).collect();
        if let Some((key, fingerprint)) = &key {
            self.receipts.keep(key.clone(), *fingerprint, receipt.clone(), Instant::now());
        }
        Ok(Accepted { news, receipt, key })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{channel::Channel, event::Event};

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let mut intake = Intake::new(EventId::new(1, 0), Receipts::default());
        let mut id = |now| {
            let event = Event::new(Channel::parse("a").unwrap(), "x");
            intake.accept(Batch::from(event).into(), now).unwrap().news.entries()[0].id
        };
        let first = id(2_000);
        assert_eq!(first, EventId::new(2_000, 0));
        assert!(id(1_000) > first);
    }
}
