//! Publishing, and what subscribers get of it.

use serde_json::json;

use crate::hub::{Hub, answered, refused};

#[tokio::test]
async fn what_is_published_arrives() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let id = hub.publish("demo", "hello").await;
    let event = events.next().await;
    assert_eq!((event.data.unwrap(), event.id.unwrap(), event.event), ("hello".into(), id, None));
}

#[tokio::test]
async fn a_form_of_curl_goes_out_as_it_is() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let form = "application/x-www-form-urlencoded";
    answered(hub.post("/events/demo", "a=1&b=%20").header("Content-Type", form)).await;
    assert_eq!(events.data().await, "a=1&b=%20");
}

#[tokio::test]
async fn type_id_and_retry_go_along() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let answer = answered(hub.post("/events/demo?event=order&id=own-1&retry=1500", "x")).await;
    assert_eq!(answer, json!({ "id": "own-1" }));
    let event = events.next().await;
    assert_eq!(event.event.as_deref(), Some("order"));
    assert_eq!(event.id.as_deref(), Some("own-1"));
    assert_eq!(event.retry, Some(1500));
}

#[tokio::test]
async fn json_goes_out_compact_and_to_the_letter() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let body =
        "{ \"b\" : 1.50 ,\n\t\"a\": [ 12345678901234567890123, \"x \\\" y\\\\\" ], \"a\": null }";
    answered(
        hub.post("/events/demo", body).header("Content-Type", "application/json; charset=utf-8"),
    )
    .await;
    assert_eq!(
        events.data().await,
        r#"{"b":1.50,"a":[12345678901234567890123,"x \" y\\"],"a":null}"#
    );
}

#[tokio::test]
async fn data_may_have_many_lines_or_none() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    for (sent, received) in
        [("", ""), ("a\nb\n\nc\n", "a\nb\n\nc\n"), ("a\r\nb\rc", "a\nb\nc"), (" x: ", " x: ")]
    {
        hub.publish("demo", sent).await;
        assert_eq!(events.data().await, received);
    }
}

#[tokio::test]
async fn an_event_of_a_megabyte_arrives_whole() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let large = "x".repeat(1024 * 1024);
    hub.publish("demo", large.clone()).await;
    assert_eq!(events.data().await, large);
}

#[tokio::test]
async fn a_batch_is_a_json_array_or_ndjson() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events?channel=a&channel=b").await;
    let ids = hub
        .publish_batch(&json!([
            { "channel": "a", "data": "text \u{e9}\"" },
            { "channels": ["a", "b"], "data": { "n": 1 }, "event": "e", "id": "own", "retry": 5, "private": true },
            { "channel": "b" },
        ]))
        .await;
    assert_eq!(ids[1], "own");
    assert_eq!(events.data().await, "text \u{e9}\"");
    let second = events.next().await;
    assert_eq!(
        (second.data.unwrap(), second.event.unwrap(), second.retry),
        ("{\"n\":1}".into(), "e".into(), Some(5))
    );
    let third = events.next().await;
    assert_eq!((third.data.unwrap(), third.id.unwrap()), (String::new(), ids[2].clone()));
    let lines = "{\"channel\":\"a\",\"data\":\"one\"}\n{\"channel\":\"b\",\"data\":\"two\"}\n";
    answered(hub.post("/events", lines)).await;
    assert_eq!((events.data().await, events.data().await), ("one".into(), "two".into()));
}

#[tokio::test]
async fn a_bad_event_keeps_its_whole_batch_out() {
    let hub = Hub::start().await;
    let batch = json!([{ "channel": "a", "data": "1" }, { "channel": "a", "event": "gap" }, { "channel": "" }]);
    let detail = refused(hub.post("/events", batch.to_string()), 400).await;
    assert!(detail.starts_with("event 1 of the batch:"), "{detail}");
    assert!(hub.kept("/events/a").await.is_empty());
}

#[tokio::test]
async fn a_repeated_publication_is_delivered_once() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let publish = |data: &'static str, key: &'static str| {
        hub.post("/events/demo", data).header("Idempotency-Key", key)
    };
    let first = answered(publish("one", "k1")).await;
    assert_eq!(answered(publish("one", "k1")).await, first);
    assert_ne!(answered(publish("two", "k2")).await, first);
    assert_eq!((events.data().await, events.data().await), ("one".into(), "two".into()));
    assert_eq!(hub.kept("/events/demo").await, ["one", "two"]);
}

#[tokio::test]
async fn a_key_is_good_for_one_publication_only() {
    let hub = Hub::start().await;
    let publish =
        |path: &str, data: &'static str| hub.post(path, data).header("Idempotency-Key", "k");
    answered(publish("/events/demo", "one")).await;
    for other in [
        publish("/events/demo", "two"),
        publish("/events/other", "one"),
        publish("/events/demo?event=x", "one"),
        publish("/events/demo?private=1", "one"),
        publish("/events/demo?id=x", "one"),
        publish("/events", r#"[{"channel":"demo","data":"one"},{"channel":"demo","data":"one"}]"#),
    ] {
        assert!(refused(other, 422).await.contains("key"));
    }
    assert_eq!(hub.kept("/events/**").await, ["one"]);
}

#[tokio::test]
async fn a_notification_has_its_type() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/notifications").await;
    answered(hub.post("/notify", "{\"title\": \"x\"}").header("Content-Type", "application/json"))
        .await;
    let event = events.next().await;
    assert_eq!(
        (event.event.unwrap(), event.data.unwrap()),
        ("notification".into(), "{\"title\":\"x\"}".into())
    );
}

#[tokio::test]
async fn an_event_on_several_channels_arrives_once() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events?channel=a&channel=x/*").await;
    hub.publish_batch(
        &json!([{ "channels": ["a", "x/1", "x/2"], "data": "1" }, { "channel": "a", "data": "2" }]),
    )
    .await;
    assert_eq!((events.data().await, events.data().await), ("1".into(), "2".into()));
    assert_eq!(hub.kept("/events/**").await, ["1", "2"]);
}
