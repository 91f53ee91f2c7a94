//! Streams: heads, first blocks, patterns, pings, and where they end.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::hub::{Hub, refused, until, within};

#[tokio::test]
async fn a_streams_head_keeps_caches_and_buffers_away() {
    let hub = Hub::start().await;
    for path in ["/events/demo", "/events?channel=a", "/notifications", "/time"] {
        let headers = hub.subscribe(path).await.headers;
        assert_eq!(headers["content-type"], "text/event-stream", "{path}");
        assert_eq!(headers["cache-control"], "no-cache, no-store, no-transform", "{path}");
        assert_eq!(headers["x-accel-buffering"], "no", "{path}");
    }
}

#[tokio::test]
async fn a_streams_head_tells_how_often_something_comes() {
    for (flags, millis) in [(&[][..], "15000"), (&["--ping", "200ms"], "200")] {
        let hub = Hub::start_with(flags).await;
        for path in ["/events/demo", "/events?channel=a", "/notifications", "/time"] {
            let headers = hub.subscribe(path).await.headers;
            assert_eq!(headers["herald-ping"], millis, "{path}");
        }
    }
}

#[tokio::test]
async fn the_first_block_tells_a_position_and_no_data() {
    let hub = Hub::start().await;
    let id = hub.publish("other", "x").await;
    let stream = hub.raw("GET /events/demo HTTP/1.0\r\n\r\n").await;
    let mut text = String::new();
    let mut stream = tokio::io::BufReader::new(stream);
    within(async {
        while !text.ends_with("\n\n") {
            text.push(stream.read_u8().await.unwrap().into());
        }
    })
    .await;
    let block = text.split_once("\r\n\r\n").unwrap().1;
    let lines: Vec<_> = block.lines().collect();
    assert_eq!(lines[0], ": herald");
    let retry: u64 = lines[1].strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((2_000..=5_000).contains(&retry));
    assert_eq!(lines[2..], [format!("id: {id}"), String::new()]);
}

#[tokio::test]
async fn a_pattern_takes_in_channels_that_come_later() {
    let hub = Hub::start().await;
    let mut one = hub.subscribe("/events/orders/*").await;
    let mut deep = hub.subscribe("/events/orders/**").await;
    for channel in ["orders", "orders/eu", "orders/eu/paris", "other/eu"] {
        hub.publish(channel, channel).await;
    }
    hub.publish("orders/end", "end").await;
    assert_eq!((one.data().await, one.data().await), ("orders/eu".into(), "end".into()));
    assert_eq!(
        (deep.data().await, deep.data().await),
        ("orders/eu".into(), "orders/eu/paris".into())
    );
}

#[tokio::test]
async fn subscribers_on_every_worker_get_the_same_order() {
    let hub = Hub::start().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(hub.subscribe("/events/demo").await);
    }
    let publish = async |from: usize| {
        for number in from..from + 50 {
            hub.publish("demo", number.to_string()).await;
        }
    };
    tokio::join!(publish(0), publish(1_000), publish(2_000));
    let mut orders = Vec::new();
    for stream in &mut streams {
        let mut order = Vec::new();
        for _ in 0..150 {
            order.push(stream.data().await);
        }
        orders.push(order);
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]));
}

#[tokio::test]
async fn a_quiet_stream_gets_lone_comment_lines() {
    let hub = Hub::start_with(&["--ping", "200ms"]).await;
    let start = Instant::now();
    let mut stream = hub.raw("GET /events/demo HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut text = String::new();
    within(async {
        let mut buffer = [0; 4096];
        while text.matches("\r\n:\n\r\n").count() < 3 {
            let len = stream.read(&mut buffer).await.unwrap();
            text.push_str(std::str::from_utf8(&buffer[..len]).unwrap());
        }
    })
    .await;
    assert!(start.elapsed() >= Duration::from_millis(600), "pings come too often: {text}");
}

#[tokio::test]
async fn a_quiet_stream_gets_fresh_positions() {
    let hub = Hub::start_with(&["--ping", "200ms"]).await;
    let mut events = hub.subscribe("/events/quiet").await;
    let id = hub.publish("busy", "x").await;
    let block = events.block().await.unwrap();
    assert_eq!((block.id.unwrap(), block.data), (id, None));
}

#[tokio::test]
async fn positions_come_in_time_however_long_the_pings_take() {
    let hub = Hub::start_with(&["--ping", "1h", "--history-age", "2s"]).await;
    let mut events = hub.subscribe("/events/quiet").await;
    for _ in 0..3 {
        let id = hub.publish("busy", "x").await;
        let published = Instant::now();
        assert_eq!(events.block().await.unwrap().id.unwrap(), id);
        // A quarter of the history's age, and some for a busy machine.
        assert!(published.elapsed() <= Duration::from_millis(900));
    }
}

#[tokio::test]
async fn a_finite_stream_ends_by_itself() {
    let hub = Hub::start().await;
    for number in 0..10 {
        hub.publish("demo", number.to_string()).await;
    }
    let data = async |path: &str| -> Vec<_> {
        hub.subscribe(path).await.all().await.into_iter().map(|event| event.data.unwrap()).collect()
    };
    assert_eq!(data("/events/demo?wait=0").await, [""; 0]);
    assert_eq!(data("/events/demo?wait=0&last=3").await, ["7", "8", "9"]);
    assert_eq!(data("/events/demo?last=5&limit=2").await, ["5", "6"]);
    assert_eq!(data("/events/demo?wait=0&since=1h").await.len(), 10);
    assert_eq!(data("/events/demo?wait=0&since=0s").await.len(), 0);
    assert_eq!(data("/events/demo?last_event_id=earliest&limit=1").await, ["0"]);
    assert_eq!(data("/events/demo?wait=0&last=100").await.len(), 10);
    assert_eq!(data("/events/*?wait=0&last=1").await, ["9"]);
}

/// The blocks of a stream that ends, but for the first.
async fn blocks(stream: reqwest::Response) -> Vec<String> {
    let text = within(stream.text()).await.unwrap();
    text.split_inclusive("\n\n").skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn events_show_those_of_their_channels_that_were_asked_for() {
    let hub = Hub::start().await;
    let open = async |path: &str| within(hub.get(path).send()).await.unwrap();
    let one = open("/events/orders/eu?show=channel&limit=2").await;
    let both = open("/events?channel=orders/*&channel=staff&show=channel&limit=3").await;
    let plain = open("/events/orders/eu?limit=2").await;
    let ids = hub
        .publish_batch(&json!([
            { "channels": ["orders/eu", "secret/plan", "staff"], "data": "1" },
            { "channels": ["staff"], "data": "2" },
            { "channels": ["orders/us", "orders/eu"], "data": "3", "event": "order" },
        ]))
        .await;
    let [first, second, third] = [0, 1, 2].map(|number: usize| &ids[number]);
    let in_one = [
        format!("channel: orders/eu\nid: {first}\ndata: 1\n\n"),
        format!("channel: orders/eu\nid: {third}\nevent: order\ndata: 3\n\n"),
    ];
    let in_both = [
        format!("channel: orders/eu\nchannel: staff\nid: {first}\ndata: 1\n\n"),
        format!("channel: staff\nid: {second}\ndata: 2\n\n"),
        format!("channel: orders/eu\nchannel: orders/us\nid: {third}\nevent: order\ndata: 3\n\n"),
    ];
    let in_plain =
        [format!("id: {first}\ndata: 1\n\n"), format!("id: {third}\nevent: order\ndata: 3\n\n")];
    assert_eq!(blocks(one).await, in_one);
    assert_eq!(blocks(both).await, in_both);
    assert_eq!(blocks(plain).await, in_plain);
    for start in ["last_event_id=earliest", "since=1h", "last=3"] {
        let replay = async |path: &str, show: &str| {
            blocks(open(&format!("{path}{start}&wait=0{show}")).await).await
        };
        let show = "&show=channel";
        assert_eq!(replay("/events/orders/eu?", show).await, in_one, "{start}");
        let path = "/events?channel=orders/*&channel=staff&";
        assert_eq!(replay(path, show).await, in_both, "{start}");
        assert_eq!(replay("/events/orders/eu?", "").await, in_plain, "{start}");
    }
}

#[tokio::test]
async fn what_is_no_event_shows_no_channel() {
    let hub = Hub::start_with(&["--ping", "200ms"]).await;
    let lost = within(hub.get("/events/demo?show=channel&wait=0&last_event_id=1-1").send()).await;
    let gap = &blocks(lost.unwrap()).await[0];
    assert!(gap.starts_with("id: ") && gap.contains("\nevent: gap\n"), "{gap}");
    let mut quiet = hub.subscribe("/events/quiet?show=channel").await;
    let id = hub.publish("busy", "x").await;
    assert_eq!(quiet.block().await.unwrap().id.unwrap(), id);
}

#[tokio::test]
async fn only_channels_can_be_shown() {
    let hub = Hub::start().await;
    for path in ["/events/demo?show=id", "/events?channel=a&show=", "/notifications?show=channels"]
    {
        let detail = refused(hub.get(path), 400).await;
        assert!(detail.contains("show must be channel"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_limit_counts_live_events_too() {
    let hub = Hub::start().await;
    let events = hub.subscribe("/events/demo?limit=2").await;
    for number in 0..5 {
        hub.publish("demo", number.to_string()).await;
    }
    assert_eq!(events.all().await.len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_at_once() {
    let hub = Hub::start().await;
    let events = hub.subscribe("/events/demo").await;
    until(async || hub.subscribers("demo").await == 1).await;
    drop(events);
    until(async || hub.subscribers("demo").await == 0).await;
}

#[tokio::test]
async fn the_clock_ticks_and_counts_as_a_subscriber() {
    let hub = Hub::start_with(&["--max-subscribers", "1"]).await;
    let mut clock = hub.subscribe("/time").await;
    let times = (clock.data().await, clock.data().await);
    assert!(times.0 < times.1 && times.0.ends_with('Z'));
    let full = within(hub.get("/events/demo").send()).await.unwrap();
    assert_eq!(full.status(), 503);
}

#[tokio::test]
async fn head_answers_with_a_streams_head_only() {
    let hub = Hub::start().await;
    for path in ["/events/demo", "/time", "/", "/channels"] {
        let response = within(hub.client.head(hub.url(path)).send()).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
    }
    assert_eq!(hub.subscribers("demo").await, 0);
}
