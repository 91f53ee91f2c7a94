//! herald in place of the servers that people write themselves: each test speaks as the clients of
//! such a server do.

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::hub::{Events, Hub, answered, until, within};

/// `new EventSource(url)` sends this.
async fn event_source(hub: &Hub, path: &str) -> Events {
    let request = hub.get(path).header("Accept", "text/event-stream");
    Events::open(request.header("Cache-Control", "no-cache")).await
}

#[tokio::test]
async fn a_ticking_stream_tells_the_time_and_stays_alive() {
    let hub = Hub::start().await;
    let mut clock = event_source(&hub, "/time").await;
    let mut last = String::new();
    for _ in 0..3 {
        let time = clock.data().await;
        assert!(time > last && time.starts_with("20") && time.ends_with('Z'), "{time}");
        last = time;
    }
}

#[tokio::test]
async fn a_broadcast_reaches_everybody_and_quiet_times_are_bridged_by_comments() {
    let hub = Hub::start_with(&["--ping", "300ms"]).await;
    let mut crowd = Vec::new();
    for _ in 0..5 {
        crowd.push(event_source(&hub, "/events/news").await);
    }
    let mut quiet = hub.raw("GET /events/news HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n").await;
    let mut text = String::new();
    within(async {
        while !text.ends_with("\n\n:\n:\n") {
            text.push(quiet.read_u8().await.unwrap().into());
        }
    })
    .await;
    hub.publish("news", "to all").await;
    for client in &mut crowd {
        assert_eq!(client.data().await, "to all");
    }
}

#[tokio::test]
async fn a_typed_event_carries_its_id_its_type_and_json() {
    let hub = Hub::start().await;
    let mut client = event_source(&hub, "/notifications").await;
    let notification = json!({ "id": "n-42", "title": "Ünïcode", "body": "two\nlines" });
    let request =
        hub.post("/events/notifications?event=notification&id=n-42", notification.to_string());
    answered(request.header("Content-Type", "application/json")).await;
    let event = client.next().await;
    assert_eq!((event.event.as_deref(), event.id.as_deref()), (Some("notification"), Some("n-42")));
    assert_eq!(serde_json::from_str::<Value>(&event.data.unwrap()).unwrap(), notification);
}

#[tokio::test]
async fn a_finite_stream_of_ten_messages_ends_by_itself() {
    let hub = Hub::start().await;
    let live = event_source(&hub, "/events/job?limit=10").await;
    for number in 0..10 {
        hub.publish("job", format!("Message {number}")).await;
    }
    let replay = event_source(&hub, "/events/job?last=10&wait=0").await;
    for stream in [live, replay] {
        let events = stream.all().await;
        let texts: Vec<_> = events.into_iter().map(|event| event.data.unwrap()).collect();
        assert_eq!(texts, (0..10).map(|number| format!("Message {number}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_broker_registers_broadcasts_and_unregisters_who_closes() {
    let hub = Hub::start().await;
    let mut stays = event_source(&hub, "/events/broker").await;
    let leaves = event_source(&hub, "/events/broker").await;
    until(async || hub.subscribers("broker").await == 2).await;
    drop(leaves);
    until(async || hub.subscribers("broker").await == 1).await;
    hub.publish("broker", "still here?").await;
    assert_eq!(stays.data().await, "still here?");
    drop(stays);
    until(async || hub.subscribers("broker").await == 0).await;
}

#[tokio::test]
async fn events_of_a_channel_reach_its_subscribers_and_nobody_else() {
    let hub = Hub::start().await;
    let mut tea = event_source(&hub, "/events/tea").await;
    let mut coffee = event_source(&hub, "/events/coffee").await;
    hub.publish("tea", "green").await;
    hub.publish("coffee", "black").await;
    assert_eq!((tea.data().await, coffee.data().await), ("green".into(), "black".into()));
    hub.publish("tea", "oolong").await;
    assert_eq!(tea.data().await, "oolong");
}

#[tokio::test]
async fn what_is_posted_to_notify_is_a_notification() {
    let hub = Hub::start().await;
    let mut first = event_source(&hub, "/notifications").await;
    let mut second = event_source(&hub, "/notifications").await;
    let notify = hub.client.post(hub.url("/notify")).json(&json!({ "count": 3 }));
    let response = within(notify.send()).await.unwrap();
    assert_eq!(response.status(), 200, "res.sendStatus(200)");
    for client in [&mut first, &mut second] {
        let event = client.next().await;
        assert_eq!(event.event.as_deref(), Some("notification"));
        assert_eq!(event.data.as_deref(), Some(r#"{"count":3}"#));
    }
}
