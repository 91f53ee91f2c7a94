//! Receipts of publications, so that a repeated one is answered and not appended again.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{Fingerprint, IdempotencyKey, JournalError, Receipt};
use crate::id::WireId;

/// How long a receipt is kept.
pub(super) const MAX_AGE: Duration = Duration::from_secs(10 * 60);
/// The most bytes of receipts; past it the oldest go early.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The receipts of the last 10 minutes.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    by_key: HashMap<IdempotencyKey, (Fingerprint, Receipt)>,
    /// The keys, oldest first, with what each costs.
    keys: VecDeque<(Instant, IdempotencyKey, usize)>,
    bytes: usize,
}

impl Receipts {
    /// The receipt of an earlier try of the publication.
    pub(super) fn get(
        &self,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Option<&Receipt>, JournalError> {
        match self.by_key.get(key) {
            Some((first, _)) if *first != fingerprint => Err(JournalError::KeyReused),
            found => Ok(found.map(|(_, receipt)| receipt)),
        }
    }

    pub(super) fn keep(
        &mut self,
        key: IdempotencyKey,
        fingerprint: Fingerprint,
        receipt: Receipt,
        now: Instant,
    ) {
        let cost = cost(&key, &receipt);
        self.bytes += cost;
        self.keys.push_back((now, key.clone(), cost));
        self.by_key.insert(key, (fingerprint, receipt));
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        while let Some((since, key, cost)) = self.keys.front() {
            if now.duration_since(*since) < MAX_AGE && self.bytes <= MAX_BYTES {
                break;
            }
            self.bytes -= cost;
            self.by_key.remove(key);
            self.keys.pop_front();
        }
    }
}

/// About what a receipt takes in memory.
fn cost(key: &IdempotencyKey, receipt: &Receipt) -> usize {
    let ids = receipt.iter().map(|id| match id {
        WireId::Hub(_) => 0,
        WireId::Own(own) => own.as_text().len(),
    });
    key.0.len() + 192 + receipt.len() * size_of::<WireId>() + ids.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EventId;

    const ONE: Fingerprint = Fingerprint(1);

    fn key(number: usize) -> IdempotencyKey {
        IdempotencyKey::new(&number.to_be_bytes()).unwrap()
    }

    fn receipt(ids: usize) -> Receipt {
        vec![WireId::Hub(EventId::new(1, 1)); ids].into()
    }

    #[test]
    fn a_receipt_is_kept_for_ten_minutes() {
        let (start, minute) = (Instant::now(), Duration::from_secs(60));
        let mut receipts = Receipts::default();
        receipts.keep(key(1), ONE, receipt(1), start);
        receipts.keep(key(2), ONE, receipt(2), start + minute);
        receipts.forget_old(start + 10 * minute - Duration::from_millis(1));
        assert_eq!(receipts.get(&key(1), ONE), Ok(Some(&receipt(1))));
        receipts.forget_old(start + 10 * minute);
        assert_eq!(receipts.get(&key(1), ONE), Ok(None));
        assert_eq!(receipts.get(&key(2), ONE), Ok(Some(&receipt(2))));
    }

    #[test]
    fn a_key_belongs_to_one_publication() {
        let mut receipts = Receipts::default();
        receipts.keep(key(1), ONE, receipt(1), Instant::now());
        assert_eq!(receipts.get(&key(1), Fingerprint(2)), Err(JournalError::KeyReused));
        assert_eq!(receipts.get(&key(2), Fingerprint(2)), Ok(None));
    }

    #[test]
    fn receipts_are_bounded_in_bytes() {
        let now = Instant::now();
        let mut receipts = Receipts::default();
        for number in 0..5_000 {
            receipts.keep(key(number), ONE, receipt(1_000), now);
            receipts.forget_old(now);
            assert!(receipts.bytes <= MAX_BYTES);
        }
        assert!(receipts.keys.len() > 1_000 && receipts.keys.len() == receipts.by_key.len());
        receipts.forget_old(now + MAX_AGE);
        assert_eq!((receipts.bytes, receipts.by_key.len()), (0, 0));
    }
}
