//! The hub's own statistics.

use serde_json::Value;

use crate::{
    hub::{Events, Hub, refused, until, within},
    mint::{SECRET, token},
};

const STATS: &str = "/events/herald/stats";

/// What the next statistics say.
async fn told(stats: &mut Events) -> Value {
    let event = stats.next().await;
    assert_eq!((event.event.as_deref(), event.id), (Some("stats"), None));
    serde_json::from_str(&event.data.unwrap()).unwrap()
}

#[tokio::test]
async fn statistics_tell_of_events_subscribers_and_latency() {
    let hub = Hub::start().await;
    let mut stats = hub.subscribe(STATS).await;
    let quiet = told(&mut stats).await;
    assert_eq!(quiet.to_string(), r#"{"events":0,"latency":null,"subscribers":1}"#);

    let demo = [hub.subscribe("/events/demo").await, hub.subscribe("/events/demo").await];
    for number in 0..5 {
        hub.publish("demo", number.to_string()).await;
    }
    let (mut events, mut latency) = (0, Value::Null);
    while events < 5 || latency.is_null() {
        let told = told(&mut stats).await;
        assert_eq!(told["subscribers"], 3);
        events += told["events"].as_u64().unwrap();
        if !told["latency"].is_null() {
            latency = told["latency"].clone();
        }
    }
    assert_eq!(events, 5);
    let [p50, p99] = ["p50", "p99"].map(|part| latency[part].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99 && p99 < 10_000.0, "{latency}");

    drop(demo);
    until(async || told(&mut stats).await["subscribers"] == 1).await;
}

#[tokio::test]
async fn listeners_on_every_worker_are_told() {
    let hub = Hub::start().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(hub.subscribe(STATS).await);
    }
    for stats in &mut streams {
        until(async || told(stats).await["subscribers"] == 8).await;
    }
}

#[tokio::test]
async fn statistics_leave_a_clients_position_where_it_is() {
    let hub = Hub::start().await;
    let id = hub.publish("demo", "1").await;
    let mut stats = hub.subscribe(&format!("{STATS}?limit=2")).await;
    for _ in 0..2 {
        told(&mut stats).await;
    }
    assert_eq!(stats.next_or_end().await, None, "they count for the limit");
    assert_eq!(stats.last_event_id, Some(id));
}

#[tokio::test]
async fn statistics_keep_no_fresh_position_back() {
    let hub = Hub::start_with(&["--ping", "200ms"]).await;
    let mut stats = hub.subscribe(STATS).await;
    for _ in 0..3 {
        told(&mut stats).await;
        let id = hub.publish("busy", "x").await;
        let mut statistics = 0;
        while stats.last_event_id.as_ref() != Some(&id) {
            statistics += usize::from(stats.block().await.unwrap().data.is_some());
        }
        assert!(statistics <= 1, "positions come more often than statistics");
    }
}

#[tokio::test]
async fn statistics_come_along_with_events_of_other_channels() {
    let hub = Hub::start().await;
    let path = "/events?channel=demo&channel=herald/stats&show=channel&limit=3";
    let stream = within(hub.get(path).send()).await.unwrap();
    hub.publish("demo", "x").await;
    let text = within(stream.text()).await.unwrap();
    let blocks: Vec<_> = text.split_inclusive("\n\n").skip(1).collect();
    let of = |channel: &str| {
        let line = format!("channel: {channel}\n");
        blocks.iter().filter(|block| block.starts_with(&line)).count()
    };
    assert_eq!((of("demo"), of("herald/stats")), (1, 2), "{text}");
}

#[tokio::test]
async fn statistics_are_not_kept() {
    let hub = Hub::start().await;
    let mut stats = hub.subscribe(STATS).await;
    told(&mut stats).await;
    for start in ["last_event_id=earliest", "since=1h", "last=5"] {
        let replay = hub.subscribe(&format!("{STATS}?wait=0&{start}")).await;
        assert_eq!(replay.all().await, [], "{start}");
    }
    let other = hub.subscribe("/events/**?limit=1").await;
    told(&mut stats).await;
    told(&mut stats).await;
    hub.publish("demo", "x").await;
    assert_eq!(other.all().await[0].data.as_deref(), Some("x"), "a pattern has none of them");
}

#[tokio::test]
async fn statistics_are_for_who_is_granted_them_by_name() {
    let hub = Hub::start_with(&["--jwt-key", SECRET]).await;
    refused(hub.get(STATS).bearer_auth(token(&["**"], &["**"])), 403).await;
    refused(hub.get(STATS), 401).await;
    let granted = token(&["herald/stats"], &[]);
    told(&mut Events::open(hub.get(STATS).bearer_auth(granted)).await).await;
}
