//! How much one caller may have, and how often.

use jsonwebtoken::{Algorithm, EncodingKey};
use reqwest::RequestBuilder;
use serde_json::json;

use crate::{
    hub::{Events, Hub, answered, refused, until, within},
    mint::{SECRET, grants, signed},
    tools::{run, told},
};

/// A request from somewhere, as a proxy says.
fn from(request: RequestBuilder, address: &str) -> RequestBuilder {
    request.header("X-Forwarded-For", address)
}

fn bearer(sub: &str) -> String {
    let mut claims = grants(&["demo"], &["demo"]);
    claims["sub"] = json!(sub);
    signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

/// The status, and the seconds after which to come back.
async fn turned_away(request: RequestBuilder) -> (u16, u64) {
    let response = within(request.send()).await.unwrap();
    let after = response.headers().get("retry-after");
    let after = after.map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    (response.status().as_u16(), after)
}

#[tokio::test]
async fn an_address_publishes_so_often_and_then_waits() {
    let hub = Hub::start_with(&["--publish-rate", "1/h:3", "--trusted-proxy", "127.0.0.1"]).await;
    let publish = || hub.post("/events/demo", "x");
    for _ in 0..3 {
        answered(from(publish(), "192.0.2.1")).await;
    }
    let (status, after) = turned_away(from(publish(), "192.0.2.1")).await;
    assert_eq!(status, 429);
    assert!((3_500..=3_601).contains(&after), "{after}");
    assert!(refused(from(publish(), "192.0.2.1"), 429).await.contains("slow down"));
    answered(from(publish(), "192.0.2.2")).await;
    let batch = json!([{"channel": "a", "data": 1}, {"channel": "a", "data": 2}]).to_string();
    answered(from(hub.post("/events", batch.clone()), "192.0.2.2")).await;
    refused(from(hub.post("/events", batch), "192.0.2.2"), 429).await;
    let large = vec![json!({"channel": "a", "data": 1}); 4];
    let large = from(hub.post("/events", json!(large).to_string()), "192.0.2.3");
    assert!(refused(large, 400).await.contains("split the batch"));
    let networks = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"];
    for address in networks {
        answered(from(publish(), address)).await;
    }
    refused(from(publish(), "2001:db8::3"), 429).await;
    answered(from(publish(), "2001:db8:0:1::3")).await;
}

#[tokio::test]
async fn what_a_client_says_of_where_it_is_does_not_count() {
    let hub = Hub::start_with(&["--publish-rate", "1/h"]).await;
    answered(from(hub.post("/events/demo", "x"), "192.0.2.1")).await;
    refused(from(hub.post("/events/demo", "x"), "192.0.2.2"), 429).await;
}

#[tokio::test]
async fn a_user_is_counted_wherever_they_are() {
    let flags = ["--jwt-key", SECRET, "--publish-rate", "1/h", "--trusted-proxy", "127.0.0.0/8"];
    let hub = Hub::start_with(&flags).await;
    let publish = |user: &str| hub.post("/events/demo", "x").bearer_auth(bearer(user));
    answered(from(publish("ann"), "192.0.2.1")).await;
    refused(from(publish("ann"), "192.0.2.2"), 429).await;
    answered(from(publish("bob"), "192.0.2.1")).await;
}

#[tokio::test]
async fn logging_out_counts_as_an_event() {
    let hub = Hub::start_with(&["--publish-rate", "1/h"]).await;
    let log_out = || hub.client.delete(hub.url("/users/42/streams"));
    assert_eq!(within(log_out().send()).await.unwrap().status(), 204);
    refused(log_out(), 429).await;
    refused(hub.post("/events/demo", "x"), 429).await;
}

#[tokio::test]
async fn a_clock_counts_as_a_subscriber() {
    let hub = Hub::start_with(&["--subscribe-rate", "1/h"]).await;
    let ticking = within(hub.get("/time").send()).await.unwrap();
    assert_eq!(ticking.status(), 200);
    refused(hub.get("/time"), 429).await;
    refused(hub.get("/events/demo"), 429).await;
}

#[tokio::test]
async fn an_address_subscribes_so_often_and_an_event_source_is_told_gently() {
    let hub = Hub::start_with(&["--subscribe-rate", "6/m:2"]).await;
    let subscribe = || hub.get("/events/demo?wait=0");
    for _ in 0..2 {
        Events::open(subscribe()).await;
    }
    let (status, after) = turned_away(subscribe()).await;
    assert_eq!(status, 429);
    assert!((1..=11).contains(&after), "{after}");
    let gently = within(subscribe().header("Accept", "text/event-stream").send()).await.unwrap();
    assert_eq!(gently.status(), 200);
    let text = within(gently.text()).await.unwrap();
    let wait: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((5_000..=26_000).contains(&wait), "{wait}");
    answered(hub.post("/events/demo", "x")).await;
}

#[tokio::test]
async fn an_address_and_a_user_have_so_many_streams() {
    let flags = [
        "--jwt-key",
        SECRET,
        "--trusted-proxy",
        "127.0.0.1",
        "--max-subscribers-per-address",
        "2",
        "--max-subscribers-per-user",
        "3",
    ];
    let hub = Hub::start_with(&flags).await;
    let subscribe = |user: &str, address: &str| {
        from(hub.get("/events/demo").bearer_auth(bearer(user)), address)
    };
    let mut streams = vec![
        Events::open(subscribe("ann", "192.0.2.1")).await,
        Events::open(subscribe("bob", "192.0.2.1")).await,
    ];
    let (status, after) = turned_away(subscribe("bob", "192.0.2.1")).await;
    assert_eq!((status, after), (503, 5), "the address is full");
    streams.push(Events::open(subscribe("ann", "192.0.2.2")).await);
    streams.push(Events::open(subscribe("ann", "192.0.2.3")).await);
    assert!(refused(subscribe("ann", "192.0.2.4"), 503).await.contains("one user"));
    let clock = hub.get("/time").bearer_auth(bearer("ann"));
    refused(from(clock, "192.0.2.5"), 503).await;
    drop(streams.remove(0));
    until(async || within(subscribe("ann", "192.0.2.4").send()).await.unwrap().status() == 200)
        .await;
}

#[tokio::test]
async fn limits_that_are_none_are_told() {
    for (flag, value) in [
        ("--publish-rate", "fast"),
        ("--subscribe-rate", "0/s"),
        ("--publish-rate", "1/h:4294967295"),
        ("--trusted-proxy", "localhost"),
        ("--max-subscribers-per-user", "0"),
    ] {
        let output = run(&[flag, value]).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(told(&output).contains("must be"), "{}", told(&output));
    }
}
