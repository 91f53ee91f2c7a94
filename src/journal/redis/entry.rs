//! What scripts and streams answer, as entries.

use std::sync::Arc;

use bytes::Bytes;
use redis::Value;

use crate::{
    channel::Channel,
    id::{EventId, LastEventId, OwnId, WireId},
    journal::{Draft, Entry},
};

/// An entry of the stream.
pub(super) struct Link {
    pub(super) entry: Arc<Entry>,
    /// The id before it.
    pub(super) after: EventId,
}

/// The entries that are an answer, or a part of one.
pub(super) fn links(values: impl IntoIterator<Item = Value>) -> Option<Vec<Link>> {
    values.into_iter().map(link).collect()
}

fn link(value: Value) -> Option<Link> {
    let [id, fields] = array(value)?.try_into().ok()?;
    let (mut channels, mut body, mut own_id, mut private, mut after) =
        (Vec::new(), None, None, false, None);
    let mut fields = array(fields)?.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match &*bytes(name)? {
            b"channels" => {
                let names = text(value)?;
                channels = names.split('\n').map(Channel::parse).collect::<Result<_, _>>().ok()?;
            }
            b"body" => body = Some(bytes(value)?),
            b"own" => own_id = Some(OwnId::parse(text(value)?).ok()?),
            b"private" => private = true,
            b"after" => after = Some(self::id(value)?),
            _ => {}
        }
    }
    let draft = Draft { own_id, channels, private, body: body? };
    Some(Link { entry: Arc::new(draft.at(self::id(id)?)), after: after? })
}

pub(super) fn id(value: Value) -> Option<EventId> {
    text(value)?.parse().ok()
}

/// An id as a subscriber saw it.
pub(super) fn wire_id(value: Value) -> Option<WireId> {
    match LastEventId::parse(&text(value)?) {
        LastEventId::Hub(id) => Some(WireId::Hub(id)),
        LastEventId::Own(own) => Some(WireId::Own(own)),
        LastEventId::Earliest | LastEventId::Impossible(_) => None,
    }
}

pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

pub(super) fn number(value: Value) -> Option<usize> {
    match value {
        Value::Int(number) => usize::try_from(number).ok(),
        _ => None,
    }
}

pub(super) fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn bytes(value: Value) -> Option<Bytes> {
    match value {
        Value::BulkString(bytes) => Some(bytes.into()),
        _ => None,
    }
}
