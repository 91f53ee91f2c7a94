//! Bad input: a clear error, and nothing lost.

use serde_json::{Value, json};

use crate::hub::{Hub, answered, refused, within};

#[tokio::test]
async fn a_bad_channel_is_refused_with_what_to_change() {
    let hub = Hub::start().await;
    let long = format!("/events/{}", "x".repeat(256));
    let cases = [
        ("/events/", "0 bytes"),
        ("/events/a//b", "empty segment"),
        ("/events/a/", "empty segment"),
        (&long, "256 bytes"),
        ("/events/a%00b", "control characters"),
        ("/events/a%0Ab", "control characters"),
        ("/events/a%7Fb", "control characters"),
        ("/events/a%2Fb", "%2F"),
        ("/events/a%2fb", "%2F"),
        ("/events/a%FFb", "UTF-8"),
        ("/events/a%C3%28b", "UTF-8"),
    ];
    for (path, word) in cases {
        for request in [hub.get(path), hub.post(path, "x")] {
            let detail = refused(request, 400).await;
            assert!(detail.contains(word), "{path}: {detail}");
        }
    }
    // A client of its own: others tidy such paths up before they send them.
    for path in ["/events/.", "/events/..", "/events/a/../b", "/events/a/./b"] {
        let answer = hub
            .raw_answer(format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            ))
            .await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") && answer.contains("as a segment"),
            "{path}: {answer}"
        );
    }
    assert!(answered(hub.get("/channels")).await["channels"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_channel_may_have_any_other_character() {
    let hub = Hub::start().await;
    for path in [
        "/events/caf%C3%A9",
        "/events/a%20b",
        "/events/a+b",
        "/events/50%25",
        "/events/a%252Fb",
        "/events/a%3Fb%23c",
    ] {
        answered(hub.post(path, "x")).await;
        assert_eq!(hub.kept(path).await, ["x"], "{path}");
    }
    let names = answered(hub.get("/channels")).await["channels"].clone();
    let names: Vec<_> =
        names.as_array().unwrap().iter().map(|info| info["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["50%", "a b", "a%2Fb", "a+b", "a?b#c", "café"]);
}

#[tokio::test]
async fn a_pattern_is_for_subscribing_only() {
    let hub = Hub::start().await;
    for path in ["/events/*", "/events/a/**", "/events/a*"] {
        assert!(refused(hub.post(path, "x"), 400).await.contains("'*'"));
    }
    assert!(refused(hub.get("/events/**/a"), 400).await.contains("last segment"));
    assert!(refused(hub.get("/events/a*"), 400).await.contains("whole segment"));
    assert!(refused(hub.get("/events/herald/*"), 400).await.contains("by name"));
}

#[tokio::test]
async fn the_hubs_own_channels_are_not_to_be_published_to() {
    let hub = Hub::start().await;
    assert!(refused(hub.post("/events/herald/stats", "x"), 400).await.contains("hub's own"));
    let batch = json!([{ "channels": ["a", "herald/x"], "data": "" }]).to_string();
    assert!(refused(hub.post("/events", batch), 400).await.contains("hub's own"));
    hub.subscribe("/events/herald/stats").await;
}

#[tokio::test]
async fn bad_words_about_an_event_are_refused() {
    let hub = Hub::start().await;
    let long = format!("id={}", "x".repeat(257));
    let cases = [
        ("event=gap", "gap"),
        ("event=a%0Ab", "event must not contain"),
        ("event=a%0Db", "event must not contain"),
        ("event=a%00b", "event must not contain"),
        ("id=a%0Ab", "no control characters"),
        ("id=a%0Db", "no control characters"),
        ("id=%20a", "no space at either end"),
        ("id=", "1 to 256"),
        ("id=earliest", "keeps those"),
        ("id=12-3", "keeps those"),
        (&long, "257 bytes"),
        ("retry=soon", "retry must be a whole number"),
        ("retry=-1", "retry must be a whole number"),
        ("retry=%2B1", "retry must be a whole number"),
        ("retry=99999999999999999999", "retry must be a whole number"),
        ("private=maybe", "private must be 1 or 0"),
        ("event=%FF", "UTF-8"),
        ("id=1a&id=2a", "query"),
    ];
    for (query, word) in cases {
        let detail = refused(hub.post(&format!("/events/demo?{query}"), "x"), 400).await;
        assert!(detail.contains(word), "{query}: {detail}");
    }
    for key in ["".to_owned(), "x".repeat(257)] {
        let request = hub.post("/events/demo", "x").header("Idempotency-Key", key);
        assert!(refused(request, 400).await.contains("Idempotency-Key"));
    }
    assert!(hub.kept("/events/demo").await.is_empty());
}

#[tokio::test]
async fn bad_words_about_a_subscription_are_refused() {
    let hub = Hub::start().await;
    for (query, word) in [
        ("since=yesterday", "since"),
        ("since=18446744073709551615s1000ms", "since"),
        ("since=9999y", "since"),
        ("last=few", "last"),
        ("last=100001", "last"),
        ("wait=no", "wait"),
        ("limit=0", "limit"),
        ("limit=1&limit=2", "query"),
    ] {
        let detail = refused(hub.get(&format!("/events/demo?{query}")), 400).await;
        assert!(detail.contains(word), "{query}: {detail}");
    }
    assert!(refused(hub.get("/events"), 400).await.contains("0 channels"));
    let many: Vec<_> = (0..101).map(|number| format!("channel=c{number}")).collect();
    assert!(
        refused(hub.get(&format!("/events?{}", many.join("&"))), 400)
            .await
            .contains("101 channels")
    );
    assert!(refused(hub.get("/events?channel=a&channel=b//c"), 400).await.contains("\"b//c\""));
    assert!(refused(hub.get("/channels?limit=0"), 400).await.contains("limit"));
    hub.subscribe(&format!("/events?{}&nobody=knows", many[..100].join("&"))).await;
}

#[tokio::test]
async fn bad_data_is_refused() {
    let hub = Hub::start().await;
    let json = |body: &'static str| {
        hub.post("/events/demo", body).header("Content-Type", "application/json")
    };
    for body in ["", "{", "{} {}", "nul", "\u{feff}{}"] {
        assert!(refused(json(body), 400).await.contains("not JSON"), "{body:?}");
    }
    assert!(refused(hub.post("/events/demo", &b"\xff\xfe"[..]), 400).await.contains("UTF-8"));
    for batch in ["", "[]", "{", "[1]", "nonsense", "[{\"channel\":\"a\"}", "\"a\""] {
        refused(hub.post("/events", batch), 400).await;
    }
    for item in [
        json!({ "data": "x" }),
        json!({ "channel": "a", "channels": ["b"] }),
        json!({ "channels": [] }),
        json!({ "channels": vec!["a"; 101] }),
        json!({ "channel": 5 }),
        json!({ "channel": "a", "retry": -1 }),
        json!({ "channel": "a", "event": "a\nb" }),
        json!({ "channel": "a", "id": "a\0b" }),
    ] {
        let batch = json!([{ "channel": "a" }, item]).to_string();
        assert!(
            refused(hub.post("/events", batch), 400).await.starts_with("event 1 of the batch"),
            "{item}"
        );
    }
    let many = Value::Array(vec![json!({ "channel": "a" }); 1_001]).to_string();
    assert!(refused(hub.post("/events", many), 400).await.contains("1001 events"));
    assert!(hub.kept("/events/**").await.is_empty());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_however_it_is_sent() {
    let hub = Hub::start_with(&["--max-body", "1KiB"]).await;
    refused(hub.post("/events/demo", "x".repeat(1025)), 413).await;
    let chunk = || Ok::<_, std::io::Error>("x".repeat(100));
    let chunks = futures_util::stream::iter(std::iter::repeat_with(chunk).take(20));
    refused(hub.post("/events/demo", reqwest::Body::wrap_stream(chunks)), 413).await;
    let answer = hub
        .raw_answer(
            "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\nx"
                .to_owned() + &"y".repeat(2000),
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    answered(hub.post("/events/demo", "x".repeat(1024))).await;
    assert_eq!(hub.kept("/events/demo").await.len(), 1);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_what_there_is() {
    let hub = Hub::start().await;
    for path in ["/nothing", "/event", "/events.json", "//"] {
        refused(hub.get(path), 404).await;
    }
    let cases = [
        ("PUT", "/events/demo", "GET, HEAD, POST"),
        ("DELETE", "/events", "GET, HEAD, POST"),
        ("POST", "/notifications", "GET, HEAD"),
        ("GET", "/notify", "POST"),
        ("POST", "/time", "GET, HEAD"),
        ("PATCH", "/channels", "GET, HEAD"),
        ("POST", "/channels/a", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let request = hub.client.request(method.parse().unwrap(), hub.url(path));
        let response = within(request.try_clone().unwrap().send()).await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{method} {path}");
        assert!(refused(request, 405).await.contains(allow));
    }
    let admin = hub.admin("/nothing").await;
    assert_eq!(
        (admin.status().as_u16(), &admin.headers()["content-type"]),
        (404, &"application/problem+json".parse().unwrap())
    );
    assert_eq!(hub.admin("/healthz").await.status(), 200);
    assert_eq!(hub.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn malformed_requests_hurt_nobody() {
    let hub = Hub::start().await;
    let mut events = hub.subscribe("/events/demo").await;
    let post = "POST /events/demo HTTP/1.1\r\nHost: localhost\r\n";
    let long_header =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    let many_headers =
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(5_000));
    for request in [
        "\0\0\0\0\r\n\r\n".to_owned(),
        "GET\r\n\r\n".into(),
        "GET / HTTP/9.9\r\n\r\n".into(),
        "GET /events/a b HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy"),
        format!("{post}Content-Length: -1\r\n\r\nx"),
        format!("{post}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\nzz\r\nx\r\n"),
        format!("{post}Host: localhost\r\nConnection: close\r\n\r\n"),
        long_header,
        many_headers,
    ] {
        let answer = hub.raw_answer(&request).await;
        let shown: String = request.chars().take(80).collect();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer}");
    }
    let short = hub.raw(format!("{post}Content-Length: 10\r\n\r\nabc")).await;
    drop(short);
    hub.publish("demo", "still here").await;
    assert_eq!(events.data().await, "still here");
    assert_eq!(hub.kept("/events/demo").await, ["still here"]);
}

#[tokio::test]
async fn a_request_without_a_length_publishes_nothing_but_emptiness() {
    let hub = Hub::start().await;
    let answer = hub
        .raw_answer("POST /events/demo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let old = hub.raw_answer("POST /events/demo HTTP/1.0\r\nContent-Length: 3\r\n\r\nold").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
    assert_eq!(hub.kept("/events/demo").await, ["", "old"]);
}

#[tokio::test]
async fn foreign_pages_do_not_reach_a_hub_without_a_key() {
    let hub = Hub::start().await;
    let port = hub.port;
    let with = |name: &'static str, value: String| {
        [hub.get("/events/demo?wait=0"), hub.post("/events/demo", "x"), hub.get("/")]
            .map(|request| request.header(name, value.clone()))
    };
    for host in
        ["evil.example".to_owned(), format!("evil.example:{port}"), "localhost.evil.example".into()]
    {
        for request in with("Host", host.clone()) {
            assert!(refused(request, 403).await.contains("host"), "{host}");
        }
    }
    for origin in [
        "http://evil.example".to_owned(),
        "null".into(),
        "http://localhost:1".into(),
        format!("http://localhost:{port}"),
    ] {
        for request in with("Origin", origin.clone()) {
            assert!(refused(request, 403).await.contains("origin"), "{origin}");
        }
    }
    for mode in ["no-cors", "cors", "websocket"] {
        let image = hub.get("/events/demo?wait=0").header("Sec-Fetch-Site", "cross-site");
        refused(image.header("Sec-Fetch-Mode", mode), 403).await;
    }
    let link =
        hub.get("/").header("Sec-Fetch-Site", "cross-site").header("Sec-Fetch-Mode", "navigate");
    assert_eq!(within(link.send()).await.unwrap().status(), 200);
    let own = hub.post("/events/demo", "x").header("Origin", format!("http://127.0.0.1:{port}"));
    answered(own).await;
    let target = hub
        .raw_answer(
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(target.starts_with("HTTP/1.1 403 "), "{target}");
    let open = Hub::start_with(&["--insecure"]).await;
    answered(
        open.post("/events/demo", "x")
            .header("Host", "hub.example")
            .header("Origin", "http://app.example"),
    )
    .await;
}

#[tokio::test]
async fn a_page_reads_through_a_proxy_that_the_hub_knows_nothing_of() {
    let hub = Hub::start().await;
    let from = |request: reqwest::RequestBuilder, site: &str| {
        request.header("Origin", "https://example.com").header("Sec-Fetch-Site", site)
    };
    let module = from(hub.get("/static/herald.js"), "same-origin");
    assert_eq!(within(module.send()).await.unwrap().status(), 200);
    for site in ["same-site", "cross-site", "none"] {
        refused(from(hub.get("/static/herald.js"), site), 403).await;
    }
    refused(from(hub.post("/events/demo", "x"), "same-origin"), 403).await;
    refused(from(hub.get("/").header("Host", "evil.example"), "same-origin"), 403).await;
}

#[tokio::test]
async fn a_full_hub_sends_event_sources_away_gently() {
    let hub = Hub::start_with(&["--max-subscribers", "1"]).await;
    let held = hub.subscribe("/events/demo").await;
    let full = within(hub.get("/events/demo").send()).await.unwrap();
    assert_eq!(full.headers()["retry-after"], "5");
    refused(hub.get("/events/demo"), 503).await;
    refused(
        hub.get("/events/demo").header("Accept", "text/event-stream, application/problem+json"),
        503,
    )
    .await;
    let gently =
        within(hub.get("/events/demo").header("Accept", "text/event-stream").send()).await.unwrap();
    assert_eq!(gently.status(), 200);
    let text = within(gently.text()).await.unwrap();
    let wait: u64 = text.strip_prefix("retry: ").unwrap().trim().parse().unwrap();
    assert!((7_000..=20_000).contains(&wait));
    drop(held);
    crate::hub::until(async || hub.get("/events/demo").send().await.unwrap().status() == 200).await;
}
