//! Publishing: `POST /events…`.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Payload},
};
use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    error::Error,
    params::{self, channel_in_path},
};
use crate::{
    channel::Channel,
    event::{Event, EventType, MAX_RETRY},
    hub::Hub,
    id::{OwnId, WireId},
    journal::{Batch, IdempotencyKey, MAX_KEY_BYTES, Receipt},
};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// `POST /events/{channel}`
pub(super) async fn one(
    req: HttpRequest,
    hub: Data<Hub>,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let words = params::query::<Words>(&req)?;
    let channel = channel_to_publish_to(&channel_in_path(&req)?)?;
    let event = words.apply(Event::new(channel, data(&req, &hub, body).await?))?;
    answer_one(publish(&req, &hub, vec![event]).await?)
}

/// `POST /notify`
pub(super) async fn notify(
    req: HttpRequest,
    hub: Data<Hub>,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let words = Words { event: Some("notification".into()), ..params::query(&req)? };
    let channel = super::notifications_channel()?;
    let event = words.apply(Event::new(channel, data(&req, &hub, body).await?))?;
    answer_one(publish(&req, &hub, vec![event]).await?)
}

/// `POST /events`
pub(super) async fn batch(
    req: HttpRequest,
    hub: Data<Hub>,
    body: Payload,
) -> Result<HttpResponse, Error> {
    let body = read(&hub, body).await?;
    let limits = hub.limits();
    let items = split(&body)?;
    if items.is_empty() || items.len() > limits.batch_events {
        return Err(Error::Invalid(format!(
            "the batch has {} events; send 1 to {}",
            items.len(),
            limits.batch_events
        )));
    }
    let events = items.iter().enumerate().map(|(index, item)| {
        parse_item(item, limits.channels)
            .map_err(|source| Error::InBatch { index, source: Box::new(source) })
    });
    let events = events.collect::<Result<Vec<_>, _>>()?;
    #[derive(Serialize)]
    struct Answer<'a> {
        ids: &'a [WireId],
    }
    let receipt = publish(&req, &hub, events).await?;
    Ok(HttpResponse::Ok().json(Answer { ids: &receipt }))
}

/// What may be said of an event beside its data: query words, or members of a batch's item.
#[derive(Default, Deserialize)]
struct Words {
    event: Option<String>,
    id: Option<String>,
    retry: Option<String>,
    private: Option<String>,
}

impl Words {
    fn apply(self, mut event: Event) -> Result<Event, Error> {
        if let Some(event_type) = self.event.filter(|event_type| !event_type.is_empty()) {
            event = event.event_type(EventType::parse(event_type).map_err(Error::invalid)?);
        }
        if let Some(id) = self.id {
            event = event.id(OwnId::parse(id).map_err(Error::invalid)?);
        }
        if let Some(retry) = self.retry {
            let most = MAX_RETRY.as_millis() as u64;
            event = event.retry(Duration::from_millis(params::number("retry", &retry, 0, most)?));
        }
        if let Some(private) = self.private {
            event = event.private(params::flag("private", &private)?);
        }
        Ok(event)
    }
}

fn channel_to_publish_to(name: &str) -> Result<Channel, Error> {
    let channel = Channel::parse(name).map_err(Error::invalid)?;
    if channel.is_reserved() {
        return Err(Error::Invalid(
            "channels under 'herald/' are the hub's own; publish to another".into(),
        ));
    }
    Ok(channel)
}

async fn publish(req: &HttpRequest, hub: &Hub, events: Vec<Event>) -> Result<Receipt, Error> {
    let key = match req.headers().get("Idempotency-Key") {
        None => None,
        Some(value) => Some(IdempotencyKey::new(value.as_bytes()).ok_or_else(|| {
            Error::Invalid(format!("Idempotency-Key must have 1 to {MAX_KEY_BYTES} bytes"))
        })?),
    };
    hub.publish(Batch { events, key }).await.map_err(Error::Publish)
}

fn answer_one(receipt: Receipt) -> Result<HttpResponse, Error> {
    #[derive(Serialize)]
    struct Answer<'a> {
        id: Option<&'a WireId>,
    }
    Ok(HttpResponse::Ok().json(Answer { id: receipt.first() }))
}

/// Reads a body within its bounds of size and time.
async fn read(hub: &Hub, body: Payload) -> Result<Bytes, Error> {
    let limit = hub.limits().body_bytes;
    match tokio::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(limit)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(error))) => Err(Error::Invalid(format!("the body cannot be read: {error}"))),
        Ok(Err(_)) => Err(Error::BodyTooLarge { limit }),
        Err(_) => Err(Error::BodyTooSlow),
    }
}

/// Reads a body as an event's data: JSON goes out compact, anything else as it is.
async fn data(req: &HttpRequest, hub: &Hub, body: Payload) -> Result<ByteString, Error> {
    let body = read(hub, body).await?;
    let media_type =
        req.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let media_type =
        media_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        let json = serde_json::from_slice::<&RawValue>(&body)
            .map_err(|error| Error::Invalid(format!("the body is not JSON: {error}")))?;
        Ok(compact(json))
    } else {
        ByteString::try_from(body).map_err(|_| Error::Invalid("the body must be UTF-8".into()))
    }
}

/// Drops the white space between the tokens of valid JSON; numbers and strings stay to the letter.
fn compact(json: &RawValue) -> ByteString {
    let mut in_string = false;
    let mut escaped = false;
    json.get()
        .chars()
        .filter(|char| {
            if in_string {
                in_string = escaped || *char != '"';
                escaped = !escaped && *char == '\\';
                true
            } else {
                in_string = *char == '"';
                !char.is_ascii_whitespace()
            }
        })
        .collect::<String>()
        .into()
}

/// The items of a batch: of a JSON array, or JSON values one after the other (NDJSON).
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
    /// Not borrowed as `&str`: a string may have escapes.
    #[derive(Deserialize)]
    struct Item<'a> {
        channel: Option<String>,
        channels: Option<Vec<String>>,
        #[serde(borrow)]
        data: Option<&'a RawValue>,
        event: Option<String>,
        id: Option<String>,
        retry: Option<u64>,
        private: Option<bool>,
    }
    let item: Item<'_> = serde_json::from_str(item.get()).map_err(Error::invalid)?;
    let names = match (item.channel, item.channels) {
        (Some(channel), None) => vec![channel],
        (None, Some(channels)) => channels,
        _ => return Err(Error::Invalid("give either \"channel\" or \"channels\"".into())),
    };
    if names.len() > most_channels {
        return Err(Error::Invalid(format!("{} channels; give 1 to {most_channels}", names.len())));
    }
    let mut channels = names.iter().map(|name| channel_to_publish_to(name));
    let first = channels.next().ok_or_else(|| Error::Invalid("\"channels\" is empty".into()))??;
    let data = match item.data {
        None => ByteString::new(),
        Some(json) => match serde_json::from_str::<String>(json.get()) {
            Ok(text) => text.into(),
            Err(_) => compact(json),
        },
    };
    let words = Words {
        event: item.event,
        id: item.id,
        retry: item.retry.map(|retry| retry.to_string()),
        private: item.private.map(|private| u8::from(private).to_string()),
    };
    let event = channels.try_fold(Event::new(first, data), |event, channel| {
        Ok::<_, Error>(event.also_on(channel?))
    })?;
    words.apply(event)
}
