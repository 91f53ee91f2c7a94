//! Batches: a JSON array of events, or one JSON object after the other (NDJSON).

use bytestring::ByteString;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{
    body::compact,
    error::Error,
    publish::{About, channel_to_publish_to},
};
use crate::{config::Limits, event::Event};

/// An event of a batch.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item<'a> {
    channel: Option<String>,
    channels: Option<Vec<String>>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
    event: Option<String>,
    id: Option<String>,
    retry: Option<u64>,
    private: Option<bool>,
}

/// `null` is data too.
fn given<'de, D: Deserializer<'de>>(json: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(json).map(Some)
}

/// The events of a batch; says which one is bad.
pub(super) fn parse(body: &[u8], limits: &Limits) -> Result<Vec<Event>, Error> {
    let items = split(body)?;
    if items.is_empty() || items.len() > limits.batch_events {
        let (count, most) = (items.len(), limits.batch_events);
        return Err(Error::Invalid(format!("the batch has {count} events; send 1 to {most}")));
    }
    let events = items.into_iter().enumerate().map(|(index, item)| {
        parse_item(item, limits.channels)
            .map_err(|source| Error::InBatch { index, source: Box::new(source) })
    });
    events.collect()
}

fn split(body: &[u8]) -> Result<Vec<&RawValue>, Error> {
    let is_array = body.trim_ascii_start().starts_with(b"[");
    let items = if is_array {
        serde_json::from_slice(body)
    } else {
        serde_json::Deserializer::from_slice(body).into_iter().collect()
    };
    items.map_err(|error| {
        Error::Invalid(format!("the batch is neither a JSON array nor NDJSON: {error}"))
    })
}

fn parse_item(item: &RawValue, most_channels: usize) -> Result<Event, Error> {
    if !item.get().starts_with('{') {
        return Err(Error::Invalid("an event must be a JSON object".into()));
    }
    let item: Item<'_> = serde_json::from_str(item.get()).map_err(Error::invalid)?;
    let names = match (item.channel, item.channels) {
        (Some(channel), None) => vec![channel],
        (None, Some(channels)) => channels,
        _ => return Err(Error::Invalid("give either \"channel\" or \"channels\"".into())),
    };
    if names.is_empty() || names.len() > most_channels {
        let count = names.len();
        return Err(Error::Invalid(format!("{count} channels; give 1 to {most_channels}")));
    }
    let channels = names.iter().map(|name| channel_to_publish_to(name));
    let mut event = Event::on(channels.collect::<Result<_, _>>()?, data(item.data)?);
    let private = item.private.unwrap_or(false);
    event = About { event: item.event, id: item.id, retry: item.retry, private }.apply_to(event)?;
    Ok(event)
}

/// A string goes out as its text, any other JSON compact.
fn data(json: Option<&RawValue>) -> Result<ByteString, Error> {
    match json {
        None => Ok(ByteString::new()),
        Some(json) if json.get().starts_with('"') => {
            let text: String = serde_json::from_str(json.get()).map_err(Error::invalid)?;
            Ok(text.into())
        }
        Some(json) => Ok(compact(json)),
    }
}
