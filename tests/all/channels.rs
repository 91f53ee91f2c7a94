//! What the hub tells of its channels.

use serde_json::{Value, json};

use crate::hub::{Hub, answered};

#[tokio::test]
async fn channels_are_listed_with_subscribers_and_kept_events() {
    let hub = Hub::start().await;
    let _exact = hub.subscribe("/events?channel=a&channel=quiet").await;
    let _pattern = hub.subscribe("/events/*").await;
    hub.publish("a", "1").await;
    let last = hub.publish("a", "2").await;
    let own = answered(hub.post("/events/b?id=own", "3")).await;
    assert_eq!(
        answered(hub.get("/channels")).await,
        json!({
            "channels": [
                { "channel": "a", "subscribers": 2, "last_id": last, "events": 2 },
                { "channel": "b", "subscribers": 1, "last_id": own["id"], "events": 1 },
                { "channel": "quiet", "subscribers": 2, "last_id": null, "events": 0 },
            ],
            "more": false,
            "scope": "node",
        })
    );
    assert_eq!(
        answered(hub.get("/channels/a")).await,
        json!({ "channel": "a", "subscribers": 2, "last_id": last, "events": 2 })
    );
    assert_eq!(answered(hub.get("/channels/none")).await["events"], 0);
}

#[tokio::test]
async fn the_list_is_paged_and_filtered() {
    let hub = Hub::start().await;
    for channel in ["x/3", "x/1", "y", "x/2", "x"] {
        hub.publish(channel, "").await;
    }
    let names = async |path: &str| -> (Vec<String>, bool) {
        let page = answered(hub.get(path)).await;
        let names = page["channels"]
            .as_array()
            .unwrap()
            .iter()
            .map(|info| info["channel"].as_str().unwrap().to_owned());
        (names.collect(), page["more"] == Value::Bool(true))
    };
    assert_eq!(
        names("/channels?prefix=x/&limit=2").await,
        (vec!["x/1".into(), "x/2".into()], true)
    );
    assert_eq!(names("/channels?prefix=x/&limit=2&after=x/2").await, (vec!["x/3".into()], false));
    assert_eq!(names("/channels?after=x/3").await, (vec!["y".into()], false));
}

#[tokio::test]
async fn what_the_history_has_let_go_of_is_not_listed() {
    let hub = Hub::start_with(&["--history-events", "3"]).await;
    for channel in ["a", "b", "b", "a", "c"] {
        hub.publish(channel, "").await;
    }
    let listed = async || -> Vec<(String, u64)> {
        let page = answered(hub.get("/channels")).await;
        let channels = page["channels"].as_array().unwrap().iter();
        let name_and_events = |info: &Value| {
            (info["channel"].as_str().unwrap().to_owned(), info["events"].as_u64().unwrap())
        };
        channels.map(name_and_events).collect()
    };
    let named = |names: &[(&str, u64)]| -> Vec<(String, u64)> {
        names.iter().map(|(name, events)| (name.to_string(), *events)).collect()
    };
    assert_eq!(listed().await, named(&[("a", 1), ("b", 1), ("c", 1)]));
    hub.publish("c", "").await;
    assert_eq!(listed().await, named(&[("a", 1), ("c", 2)]));
}
