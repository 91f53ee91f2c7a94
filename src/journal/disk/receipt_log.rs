//! The receipts of the last minutes, for after a restart; while it runs they are in memory.
//!
//! They are written in two generations. When the younger is ten minutes old, or large, the older
//! goes and another begins.

use std::time::{Duration, Instant};

use bytes::{Buf, BufMut, Bytes};
use fjall::{Database, Guard, Keyspace, OwnedWriteBatch};

use super::{
    error::{Corrupt, StoreError},
    store::options,
};
use crate::journal::{
    codec,
    intake::Accepted,
    now_millis,
    receipts::{self, Receipts},
};

/// Of a generation.
const MAX_BYTES: usize = receipts::MAX_BYTES;

pub(super) struct ReceiptLog {
    /// The younger is the first.
    generations: [Keyspace; 2],
    since: Instant,
    bytes: usize,
    /// How many the younger has.
    count: u64,
}

impl ReceiptLog {
    /// Opens the log, and reads the receipts that still count.
    pub(super) fn open(db: &Database) -> Result<(Self, Receipts), StoreError> {
        let mut receipts = Receipts::default();
        let (a, b) = (db.keyspace("receipts-0", options)?, db.keyspace("receipts-1", options)?);
        let last = |generation: &Keyspace| generation.last_key_value().map(Guard::key).transpose();
        let [younger, older] = if last(&a)? < last(&b)? { [b, a] } else { [a, b] };
        read(&older, &mut receipts)?;
        let (bytes, count) = read(&younger, &mut receipts)?;
        receipts.forget_old(Instant::now());
        let generations = [younger, older];
        Ok((Self { generations, since: Instant::now(), bytes, count }, receipts))
    }

    /// Adds the receipts of publications that came with a key.
    pub(super) fn put<'a>(
        &mut self,
        batch: &mut OwnedWriteBatch,
        accepted: impl IntoIterator<Item = &'a Accepted>,
    ) -> Result<(), StoreError> {
        for Accepted { key, receipt, .. } in accepted {
            let Some((key, fingerprint)) = key else { continue };
            let receipt = codec::receipt(key, *fingerprint, receipt);
            self.bytes += receipt.len();
            let generation = self.generation()?.clone();
            let mut place = Vec::new();
            place.put_u64(now_millis());
            place.put_u64(self.count);
            self.count += 1;
            batch.insert(&generation, place, receipt);
        }
        Ok(())
    }

    /// The generation to write to.
    fn generation(&mut self) -> Result<&Keyspace, StoreError> {
        if self.since.elapsed() >= receipts::MAX_AGE || self.bytes >= MAX_BYTES {
            self.generations.swap(0, 1);
            self.generations[0].clear()?;
            (self.since, self.bytes, self.count) = (Instant::now(), 0, 0);
        }
        Ok(&self.generations[0])
    }
}

/// Reads a generation; returns its bytes, and how many it has.
fn read(generation: &Keyspace, receipts: &mut Receipts) -> Result<(usize, u64), StoreError> {
    let (mut bytes, mut count) = (0, 0);
    let (now, now_millis) = (Instant::now(), now_millis());
    for receipt in generation.iter() {
        let (place, receipt) = receipt.into_inner()?;
        bytes += receipt.len();
        count += 1;
        let millis = (&mut &place[..]).try_get_u64().map_err(|_| Corrupt("a receipt's key"))?;
        let age = Duration::from_millis(now_millis.saturating_sub(millis));
        // What is older than the machine is too old.
        if let Some(since) = now.checked_sub(age)
            && age < receipts::MAX_AGE
        {
            let receipt = codec::read_receipt(Bytes::from(receipt));
            let (key, fingerprint, receipt) = receipt.ok_or(Corrupt("a receipt"))?;
            receipts.keep(key, fingerprint, receipt, since);
        }
    }
    Ok((bytes, count))
}
