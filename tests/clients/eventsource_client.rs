//! The crate eventsource-client.

use eventsource_client::{Client as _, ClientBuilder, SSE};
use futures_util::StreamExt;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Event;

pub(super) fn subscribe(url: String) -> UnboundedReceiver<Event> {
    let mut stream = ClientBuilder::for_url(&url).unwrap().build_http().stream();
    let (sender, seen) = unbounded_channel();
    tokio::spawn(async move {
        // After an error, it comes back.
        while let Some(item) = stream.next().await {
            if let Ok(SSE::Event(event)) = item {
                let id = event.id.unwrap();
                let _ = sender.send(Event { id, event: event.event_type, data: event.data });
            }
        }
    });
    seen
}
