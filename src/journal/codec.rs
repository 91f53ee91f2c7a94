//! Ids, entries and receipts as bytes, for journals that keep them outside this process.
//!
//! Numbers are big-endian, so that ids as bytes have the order of ids.

use bytes::{Buf, BufMut, Bytes};
use bytestring::ByteString;

use super::{Draft, Entry, Fingerprint, IdempotencyKey, Receipt};
use crate::{
    channel::Channel,
    id::{EventId, OwnId, WireId},
};

/// The bytes of an id.
pub(super) const ID_BYTES: usize = 16;

const PRIVATE: u8 = 1;
const OWN_ID: u8 = 2;

pub(super) fn id(id: EventId) -> [u8; ID_BYTES] {
    let mut bytes = [0; ID_BYTES];
    bytes[..8].copy_from_slice(&id.millis().to_be_bytes());
    bytes[8..].copy_from_slice(&id.count().to_be_bytes());
    bytes
}

/// An id at the end of `bytes`, where a key has it.
pub(super) fn id_at_end(bytes: &[u8]) -> Option<EventId> {
    read_id(&mut bytes.get(bytes.len().checked_sub(ID_BYTES)?..)?)
}

pub(super) fn read_id(bytes: &mut impl Buf) -> Option<EventId> {
    Some(EventId::new(bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?))
}

/// An entry but for its id.
pub(super) fn entry(entry: &Entry) -> Vec<u8> {
    let Entry { own_id, channels, private, .. } = entry;
    let body = entry.body();
    let mut bytes = Vec::with_capacity(body.len() + 32 * (1 + channels.len()));
    let flags = if *private { PRIVATE } else { 0 } | own_id.as_ref().map_or(0, |_| OWN_ID);
    bytes.put_u8(flags);
    if let Some(own) = own_id {
        put_text(&mut bytes, own.as_text());
    }
    bytes.put_u32(channels.len() as u32);
    for channel in channels {
        put_text(&mut bytes, channel.as_str());
    }
    bytes.put_slice(body);
    bytes
}

/// `None` if `bytes` are no entry's.
pub(super) fn read_entry(id: EventId, mut bytes: Bytes) -> Option<Entry> {
    let flags = bytes.try_get_u8().ok()?;
    let own_id = if flags & OWN_ID == 0 { None } else { Some(read_own_id(&mut bytes)?) };
    let channels = (0..bytes.try_get_u32().ok()?)
        .map(|_| Channel::parse(&read_text(&mut bytes)?).ok())
        .collect::<Option<_>>()?;
    Some(Draft { own_id, channels, private: flags & PRIVATE != 0, body: bytes }.at(id))
}

/// A receipt, with the key that it answers.
pub(super) fn receipt(key: &IdempotencyKey, fingerprint: Fingerprint, ids: &Receipt) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_u64(fingerprint.0);
    bytes.put_u16(key.0.len() as u16);
    bytes.put_slice(&key.0);
    ids.iter().for_each(|id| put_wire_id(&mut bytes, id));
    bytes
}

pub(super) fn read_receipt(mut bytes: Bytes) -> Option<(IdempotencyKey, Fingerprint, Receipt)> {
    let fingerprint = Fingerprint(bytes.try_get_u64().ok()?);
    let key = IdempotencyKey::new(&read_slice(&mut bytes)?)?;
    let mut ids = Vec::new();
    while bytes.has_remaining() {
        ids.push(read_wire_id(&mut bytes)?);
    }
    Some((key, fingerprint, ids.into()))
}

pub(super) fn put_wire_id(bytes: &mut Vec<u8>, id: &WireId) {
    match id {
        WireId::Hub(id) => {
            bytes.put_u8(0);
            bytes.put_slice(&self::id(*id));
        }
        WireId::Own(own) => {
            bytes.put_u8(OWN_ID);
            put_text(bytes, own.as_text());
        }
    }
}

pub(super) fn read_wire_id(bytes: &mut Bytes) -> Option<WireId> {
    Some(match bytes.try_get_u8().ok()? {
        0 => WireId::Hub(read_id(bytes)?),
        _ => WireId::Own(read_own_id(bytes)?),
    })
}

fn read_own_id(bytes: &mut Bytes) -> Option<OwnId> {
    OwnId::parse(read_text(bytes)?).ok()
}

/// Texts here are of 256 bytes at most.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.put_u16(text.len() as u16);
    bytes.put_slice(text.as_bytes());
}

fn read_text(bytes: &mut Bytes) -> Option<ByteString> {
    read_slice(bytes)?.try_into().ok()
}

fn read_slice(bytes: &mut Bytes) -> Option<Bytes> {
    let len = bytes.try_get_u16().ok()?;
    (usize::from(len) <= bytes.remaining()).then(|| bytes.split_to(len.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Event;

    const ID: EventId = EventId::new(1_732_000_000_000, 7);

    fn written_and_read(event: Event) {
        let before: Entry = Draft::from(event).at(ID);
        let after = read_entry(ID, entry(&before).into()).unwrap();
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
    }

    #[test]
    fn an_entry_is_the_same_when_read_back() {
        let channel = |name| Channel::parse(name).unwrap();
        written_and_read(Event::new(channel("a"), ""));
        written_and_read(
            Event::new(channel("a"), "two\nlines")
                .also_on(channel(&"ü".repeat(127)))
                .id(OwnId::parse("x".repeat(256)).unwrap())
                .private(true),
        );
    }

    #[test]
    fn a_receipt_is_the_same_when_read_back() {
        let key = IdempotencyKey::new(&[7; 256]).unwrap();
        let ids: Receipt =
            vec![WireId::Hub(ID), WireId::Own(OwnId::parse("order-42").unwrap())].into();
        let read = read_receipt(receipt(&key, Fingerprint(9), &ids).into());
        assert_eq!(read, Some((key, Fingerprint(9), ids)));
    }

    #[test]
    fn ids_as_bytes_are_in_the_order_of_ids() {
        let ids = [EventId::MIN, EventId::new(1, 256), EventId::new(256, 0), EventId::MAX];
        assert!(ids.is_sorted_by_key(|id| self::id(*id)));
        assert_eq!(id_at_end(&[b"key".as_slice(), &id(ID)].concat()), Some(ID));
        assert_eq!(id_at_end(b"short"), None);
    }

    proptest! {
        #[test]
        fn what_is_no_entry_or_receipt_is_told(bytes: Vec<u8>) {
            let _ = (read_entry(ID, bytes.clone().into()), read_receipt(bytes.into()));
        }
    }
}
