//! Resuming: nothing lost, nothing twice, and no silent gap.

use serde_json::{Value, json};

use crate::hub::{Events, Hub, answered, until};

fn gap(event: sse_stream::Sse) -> Value {
    assert_eq!(event.event.as_deref(), Some("gap"));
    serde_json::from_str(&event.data.unwrap()).unwrap()
}

#[tokio::test]
async fn a_client_resumes_after_the_last_event_it_saw() {
    let hub = Hub::start().await;
    let first = hub.publish("demo", "1").await;
    for data in ["2", "3"] {
        hub.publish("demo", data).await;
    }
    for name in ["last_event_id", "lastEventId", "lastEventID", "Last-Event-ID"] {
        let mut events = Events::open(hub.get("/events/demo").query(&[(name, &first)])).await;
        assert_eq!((events.data().await, events.data().await), ("2".into(), "3".into()));
    }
    let mut events = hub.resume("/events/demo?last_event_id=earliest&last=0", &first).await;
    assert_eq!(events.data().await, "2", "the header wins");
    hub.publish("demo", "4").await;
    assert_eq!((events.data().await, events.data().await), ("3".into(), "4".into()));
}

#[tokio::test]
async fn a_position_of_the_first_block_resumes_without_a_gap() {
    let hub = Hub::start().await;
    hub.publish("demo", "1").await;
    for path in [
        "/events/demo",
        "/events/demo?last=1",
        "/events/demo?since=1h",
        "/events/demo?last_event_id=earliest",
    ] {
        let position = hub.subscribe(path).await.last_event_id.unwrap();
        hub.publish("demo", "2").await;
        let mut events = hub.resume("/events/demo", &position).await;
        assert_ne!(events.next().await.event.as_deref(), Some("gap"), "{path}");
    }
}

#[tokio::test]
async fn a_client_resumes_by_a_publishers_id() {
    let hub = Hub::start().await;
    for (id, data) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4")] {
        answered(hub.post(&format!("/events/demo?id={id}"), data)).await;
    }
    assert_eq!(hub.resume("/events/demo", "b").await.data().await, "3");
    assert_eq!(hub.resume("/events/demo", "a").await.data().await, "2", "from the earliest of two");
}

#[tokio::test]
async fn channels_may_number_their_events_alike() {
    let hub = Hub::start().await;
    for (channel, id) in [("a", "1"), ("b", "0"), ("b", "1"), ("a", "2"), ("b", "2")] {
        answered(hub.post(&format!("/events/{channel}?id={id}"), format!("{channel}{id}"))).await;
    }
    assert_eq!(hub.resume("/events/b", "1").await.data().await, "b2");
    let mut both = hub.resume("/events?channel=a&channel=b", "1").await;
    assert_eq!(both.data().await, "b0", "to repeat rather than lose");
    let other = hub.resume("/events/c", "2").await.next().await;
    assert_eq!(gap(other)["after"], "2", "an id tells nothing of another channel");
}

#[tokio::test]
async fn an_id_that_cannot_be_placed_gives_a_gap_and_then_all_that_is_kept() {
    let hub = Hub::start().await;
    let kept = hub.publish("demo", "1").await;
    let long = "x".repeat(10_000);
    for asked in ["nonsense", "5-5", "99999999999999-0", "007-1", &long] {
        let mut events = hub.resume("/events/demo?limit=1", asked).await;
        let event = events.next().await;
        let position = event.id.clone().unwrap();
        assert_eq!(gap(event), json!({ "after": asked, "oldest": kept }));
        assert_eq!(events.data().await, "1");
        let mut again = hub.resume("/events/demo", &position).await;
        assert_eq!(again.data().await, "1", "the gap's id is a position");
    }
    let mut empty = hub.resume("/events/empty", "nonsense").await;
    assert_eq!(gap(empty.next().await), json!({ "after": "nonsense", "oldest": null }));
}

#[tokio::test]
async fn who_is_cut_off_before_the_gap_is_told_again() {
    let hub = Hub::start().await;
    hub.publish("demo", "1").await;
    let first_block_only = hub.resume("/events/demo", "nonsense").await;
    assert_eq!(first_block_only.last_event_id.as_deref(), Some("nonsense"));
}

#[tokio::test]
async fn evicted_events_give_a_gap() {
    let hub = Hub::start_with(&["--history-events", "3"]).await;
    let mut ids = Vec::new();
    for number in 1..=6 {
        ids.push(hub.publish("demo", number.to_string()).await);
    }
    let mut last_evicted = hub.resume("/events/demo", &ids[2]).await;
    assert_eq!(last_evicted.data().await, "4");
    let mut older = hub.resume("/events/demo", &ids[1]).await;
    let event = older.next().await;
    assert_eq!(event.id.as_ref(), Some(&ids[2]));
    assert_eq!(gap(event), json!({ "after": ids[1], "oldest": ids[3] }));
    assert_eq!(older.data().await, "4");
}

#[tokio::test]
async fn history_is_bounded_by_bytes() {
    let hub = Hub::start_with(&["--history-bytes", "10KiB"]).await;
    for number in 0..10 {
        hub.publish("demo", format!("{number}{}", "x".repeat(3_000))).await;
    }
    assert_eq!(hub.kept("/events/demo").await.len(), 3);
}

#[tokio::test]
async fn history_is_bounded_by_age() {
    let hub = Hub::start_with(&["--history-age", "1s"]).await;
    hub.publish("demo", "x").await;
    until(async || hub.kept("/events/demo").await.is_empty()).await;
}

#[tokio::test]
async fn a_silence_makes_no_false_gap() {
    let hub = Hub::start_with(&["--history-age", "1s", "--ping", "1h"]).await;
    let seen = hub.publish("demo", "x").await;
    let newest = hub.publish("other", "y").await;
    let mut events = hub.resume("/events/demo", &seen).await;
    assert_eq!(events.block().await.unwrap().id.as_ref(), Some(&newest));
    until(async || hub.kept("/events/other").await.is_empty()).await;
    let mut again = hub.resume("/events/demo", &newest).await;
    hub.publish("demo", "z").await;
    assert_eq!(again.data().await, "z");
}

#[tokio::test]
async fn a_resume_over_many_pages_is_whole() {
    let hub = Hub::start().await;
    let first = hub.publish("demo", "start").await;
    let mut sent = Vec::new();
    for batch in 0..10 {
        let events: Vec<_> = (0..500)
            .map(|number| format!("{batch}-{number}-{}", "x".repeat(number % 97)))
            .collect();
        let batch: Vec<_> =
            events.iter().map(|data| json!({ "channel": "demo", "data": data })).collect();
        hub.publish_batch(&Value::Array(batch)).await;
        sent.extend(events);
    }
    for path in ["/events/demo", "/events/*", "/events?channel=demo&channel=other"] {
        let mut events = hub.resume(path, &first).await;
        for data in &sent {
            assert_eq!(&events.data().await, data);
        }
    }
}
