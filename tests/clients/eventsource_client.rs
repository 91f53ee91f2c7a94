//! The crate eventsource-client. It heeds `retry` only in an event, hence a delay of its own.

use std::time::Duration;

use eventsource_client::{Client as _, ClientBuilder, ReconnectOptions, SSE};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Event;

pub(super) fn subscribe(url: String) -> UnboundedReceiver<Event> {
    let delay = ReconnectOptions::reconnect(true).delay(Duration::from_secs(3)).build();
    let client = ClientBuilder::for_url(&url).unwrap().reconnect(delay).build_http();
    let (sender, seen) = unbounded_channel();
    tokio::spawn(async move {
        let mut stream = client.stream();
        // An error is the end of a connection, not of the stream.
        while let Some(item) = stream.next().await {
            if let Ok(SSE::Event(event)) = item {
                let id = event.id.unwrap();
                let _ = sender.send(Event { id, event: event.event_type, data: event.data });
            }
        }
    });
    seen
}
