//! Going down without losing anybody anything.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::hub::{Hub, refused, until, within};

#[tokio::test]
async fn a_drain_delivers_everything_and_says_when_to_come_back() {
    let mut hub = Hub::start_with(&["--drain", "4s"]).await;
    let mut streams = Vec::new();
    for _ in 0..60 {
        streams.push(hub.subscribe("/events/demo").await);
    }
    hub.publish("demo", "before").await;
    let start = Instant::now();
    hub.signal("-TERM");
    until(async || hub.admin("/readyz").await.status() == 503).await;
    assert!(refused(hub.get("/events/demo"), 503).await.contains("going down"));
    let gently = hub.get("/events/demo").header("Accept", "text/event-stream");
    assert_eq!(within(gently.send()).await.unwrap().status(), 200);
    let during = hub.publish("demo", "during").await;
    let mut got_during = 0;
    let mut ends = Vec::new();
    for mut stream in streams {
        let (mut data, mut retry) = (Vec::new(), None);
        while let Some(block) = stream.block().await {
            data.extend(block.data);
            retry = block.retry;
        }
        assert_eq!(data[0], "before");
        // Who was sent away before it was published gets it when it comes back.
        assert!(
            data.len() == 1
                || (data[1] == "during" && stream.last_event_id.as_ref() == Some(&during))
        );
        got_during += data.len() - 1;
        let remains = Duration::from_secs(4).saturating_sub(start.elapsed());
        assert!(Duration::from_millis(retry.expect("a farewell")) >= remains);
        ends.push(start.elapsed());
    }
    assert!(got_during > 0, "publishing goes on during a drain");
    assert!(ends[59] - ends[0] >= Duration::from_millis(300), "not all at once: {ends:?}");
    assert!(hub.exit().await.success());
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// A subscriber that reads nothing, so that it never becomes free to leave.
async fn stuck_subscriber(hub: &Hub) -> TcpStream {
    let stuck = hub.raw("GET /events/demo HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until(async || hub.subscribers("demo").await == 1).await;
    for _ in 0..10 {
        hub.publish("demo", "x".repeat(1_000_000)).await;
    }
    stuck
}

#[tokio::test]
async fn an_idle_hub_goes_down_at_once() {
    let mut hub = Hub::start_with(&["--drain", "1h"]).await;
    hub.signal("-INT");
    assert!(hub.exit().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut hub = Hub::start_with(&["--drain", "1h"]).await;
    let _stuck = stuck_subscriber(&hub).await;
    hub.signal("-TERM");
    until(async || hub.admin("/readyz").await.status() == 503).await;
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
}

#[tokio::test]
async fn a_drain_waits_for_nobody_longer_than_it_may() {
    let mut hub = Hub::start_with(&["--drain", "1s"]).await;
    let _stuck = stuck_subscriber(&hub).await;
    let start = Instant::now();
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
    assert!(start.elapsed() >= Duration::from_secs(1) && start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_publisher_at_the_end_of_a_drain_is_told() {
    let mut hub = Hub::start_with(&["--drain", "1s"]).await;
    let _stuck = stuck_subscriber(&hub).await;
    let head = "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nx";
    let mut late = hub.raw(head).await;
    hub.signal("-TERM");
    let post = async || hub.post("/events/demo", "x").send().await;
    until(async || !post().await.is_ok_and(|answer| answer.status() == 200)).await;
    late.write_all(b"y").await.unwrap();
    let mut answer = String::new();
    within(late.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(hub.exit().await.success());
}

#[tokio::test]
async fn the_clock_ends_with_the_hub() {
    let mut hub = Hub::start_with(&["--drain", "1h"]).await;
    let clock = hub.subscribe("/time").await;
    hub.signal("-TERM");
    assert!(clock.last_retry().await.is_some_and(|retry| retry >= 3_600_000));
    assert!(hub.exit().await.success());
}
