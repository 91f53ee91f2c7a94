//! herald as a library: an app of its own, `tests/app`, mounts it under `/live`.

use std::{
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, process::Command, sync::OnceCell};

use crate::{
    hostile::keeps_no_worker_busy,
    hub::{Events, Hub, refused, until, within},
};

/// The app, running.
struct Shop(Hub);

impl Shop {
    async fn open() -> Self {
        let mut shop = Command::new(built().await);
        // The library must not care for any of this.
        shop.env("RUST_LOG", "trace").env("HERALD_PING", "soon").env("HERALD_WORKERS", "x");
        shop.stderr(Stdio::piped());
        Self(Hub::run(shop).await)
    }

    fn request(&self, user: &str, method: Method, path: &str) -> RequestBuilder {
        let request = self.0.client.request(method, self.0.url(path));
        request.header("Cookie", format!("session={user}"))
    }

    fn get(&self, user: &str, path: &str) -> RequestBuilder {
        self.request(user, Method::GET, path)
    }

    fn post(&self, user: &str, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.request(user, Method::POST, path).body(body)
    }

    async fn order(&self, user: &str, text: &str) -> String {
        let response = within(self.post(user, "/orders", text.to_owned()).send()).await.unwrap();
        assert_eq!(response.status(), 201);
        let ids: Vec<String> = response.json().await.unwrap();
        ids.into_iter().next().unwrap()
    }

    async fn subscribers(&self, channel: &str) -> u64 {
        let info = json_of(self.get("admin", &format!("/live/channels/{channel}"))).await;
        info["subscribers"].as_u64().unwrap()
    }
}

/// Builds the app, once, as its author would: with the library's default features off.
async fn built() -> PathBuf {
    static SHOP: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || {
        let build = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--package=shop", "--message-format=json"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stderr(Stdio::inherit())
            .output();
        let output = build.await.unwrap();
        assert!(output.status.success());
        let messages = String::from_utf8(output.stdout).unwrap();
        let program = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).unwrap();
            message["executable"].as_str().map(PathBuf::from)
        });
        program.expect("the app's program")
    };
    SHOP.get_or_init(build).await.clone()
}

async fn answer(request: RequestBuilder) -> Response {
    within(request.send()).await.unwrap()
}

async fn json_of(request: RequestBuilder) -> Value {
    answer(request).await.json().await.unwrap()
}

#[tokio::test]
async fn an_app_publishes_from_its_handlers_to_streams_under_its_prefix() {
    let shop = Shop::open().await;
    let mut events = Events::open(shop.get("ann", "/live/events/orders/ann")).await;
    let id = shop.order("ann", "two books").await;
    let event = events.next().await;
    assert_eq!((event.data.as_deref(), event.id), (Some("two books"), Some(id)));
}

#[tokio::test]
async fn a_hub_stands_beside_an_apps_routes_and_under_its_middleware() {
    let shop = Shop::open().await;
    let zipped = |path| shop.get("ann", path).header("Accept-Encoding", "gzip");
    let home = answer(zipped("/")).await;
    assert_eq!(
        (&home.headers()["x-shop"], &home.headers()["content-encoding"]),
        (&"open".parse().unwrap(), &"gzip".parse().unwrap())
    );
    // Compressing a stream would hold its events back.
    let mut events = Events::open(zipped("/live/events/offers/books")).await;
    assert_eq!(events.headers["x-shop"], "open");
    assert_ne!(events.headers.get("content-encoding"), Some(&"gzip".parse().unwrap()));
    let published = answer(shop.post("admin", "/live/events/offers/books", "-20 %")).await;
    assert_eq!((published.status().as_u16(), events.data().await.as_str()), (200, "-20 %"));
    assert_eq!(answer(shop.get("ann", "/live/")).await.status(), 200, "the page");
    for elsewhere in ["/events/offers/books", "/live/orders", "/channels"] {
        assert_eq!(answer(shop.get("ann", elsewhere)).await.status(), 404, "{elsewhere}");
    }
}

#[tokio::test]
async fn an_app_says_who_may_subscribe() {
    let shop = Shop::open().await;
    let stranger = answer(shop.0.get("/live/events/offers/books")).await;
    assert_eq!(stranger.text().await.unwrap(), "sign in first", "the app's own answer");
    for granted in ["orders/ann", "offers/books", "offers/*", "offers/*/**"] {
        Events::open(shop.get("ann", &format!("/live/events/{granted}"))).await;
    }
    for other in ["orders/bob", "orders/*", "**", "offers", "herald/stats", "notifications"] {
        let detail = refused(shop.get("ann", &format!("/live/events/{other}")), 403).await;
        assert!(detail.contains(&format!("{other:?}")), "{detail}");
        Events::open(shop.get("admin", &format!("/live/events/{other}"))).await;
    }
    for path in ["/live/events/offers/books", "/live/time", "/live/channels", "/live/notifications"]
    {
        assert_eq!(answer(shop.0.get(path)).await.status(), 401, "{path}");
    }
    refused(shop.get("ann", "/live/notifications"), 403).await;
    refused(shop.get("ann", "/live/events?channel=orders/ann&channel=orders/bob"), 403).await;
    assert_eq!(
        answer(shop.request("ann", Method::HEAD, "/live/events/orders/bob")).await.status(),
        403
    );
}

#[tokio::test]
async fn an_app_says_who_may_publish() {
    let shop = Shop::open().await;
    assert_eq!(answer(shop.0.post("/live/events/orders/ann", "x")).await.status(), 401);
    assert_eq!(answer(shop.post("ann", "/live/events/orders/ann", "x")).await.status(), 200);
    let detail = refused(shop.post("ann", "/live/events/offers/books", "x"), 403).await;
    assert!(detail.contains("\"offers/books\""), "{detail}");
    refused(shop.post("ann", "/live/notify", "x"), 403).await;
    let batch = json!([
        { "channel": "orders/ann", "data": "1" },
        { "channels": ["orders/ann", "orders/bob"], "data": "2" },
    ]);
    let detail = refused(shop.post("ann", "/live/events", batch.to_string()), 403).await;
    assert!(detail.contains("event 1") && detail.contains("\"orders/bob\""), "{detail}");
    assert_eq!(answer(shop.post("admin", "/live/events", batch.to_string())).await.status(), 200);
    let kept = json_of(shop.get("admin", "/live/channels/orders/ann")).await;
    assert_eq!(kept["events"], 3, "of a refused batch nothing is published");
}

#[tokio::test]
async fn a_caller_is_told_of_channels_that_it_may_subscribe_to() {
    let shop = Shop::open().await;
    let names = ["offers/a", "offers/b", "orders/ann", "orders/bob", "orders/cid", "z"];
    let batch: Vec<_> = names.iter().map(|name| json!({ "channel": name, "data": "" })).collect();
    answer(shop.post("admin", "/live/events", json!(batch).to_string())).await;
    let listed = async |user: &str, query: &str| {
        let page = json_of(shop.get(user, &format!("/live/channels?{query}"))).await;
        let names = page["channels"].as_array().unwrap().iter().map(|info| info["channel"].clone());
        (names.collect::<Vec<_>>(), page["more"].as_bool().unwrap())
    };
    let all = names.map(Value::from);
    assert_eq!(listed("admin", "").await, (all.to_vec(), false));
    assert_eq!(listed("admin", "limit=5").await, (all[..5].to_vec(), true));
    assert_eq!(listed("ann", "").await, (all[..3].to_vec(), false));
    assert_eq!(listed("cid", "limit=2").await, (all[..2].to_vec(), true));
    assert_eq!(listed("cid", "limit=2&after=offers/b").await, (all[4..5].to_vec(), false));
    assert_eq!(listed("bob", "limit=1&prefix=orders/").await, (all[3..4].to_vec(), false));
    refused(shop.get("ann", "/live/channels/orders/bob"), 403).await;
}

#[tokio::test]
async fn an_apps_own_route_streams_and_resumes() {
    let shop = Shop::open().await;
    let first = shop.order("ann", "1").await;
    shop.order("bob", "not for ann").await;
    shop.order("ann", "2").await;
    let request = shop.get("ann", "/orders?limit=2").header("Last-Event-ID", first);
    let mut events = Events::open(request).await;
    assert_eq!(events.headers["herald-ping"], "15000");
    shop.order("ann", "3").await;
    assert_eq!((events.data().await, events.data().await), ("2".into(), "3".into()));
    assert!(events.next_or_end().await.is_none());
    let bad = answer(shop.get("ann", "/orders?limit=0")).await;
    assert_eq!(bad.status(), 400);
}

#[tokio::test]
async fn a_client_that_closes_is_gone_and_one_that_stuffs_keeps_no_worker_busy() {
    let shop = Shop::open().await;
    let subscribe = |path| {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: session=ann\r\n\r\n");
        shop.0.raw(request)
    };
    let stream = subscribe("/orders").await;
    until(async || shop.subscribers("orders/ann").await == 1).await;
    drop(stream);
    until(async || shop.subscribers("orders/ann").await == 0).await;
    for path in ["/orders", "/live/time"] {
        let mut stream = subscribe(path).await;
        within(stream.read(&mut [0; 64])).await.unwrap();
        keeps_no_worker_busy(&shop.0, stream, path).await;
    }
}

#[tokio::test]
async fn a_hub_drains_with_its_app() {
    let mut shop = Shop::open().await;
    let events = Events::open(shop.get("ann", "/orders")).await;
    until(async || shop.subscribers("orders/ann").await == 1).await;
    shop.order("ann", "the last").await;
    let start = Instant::now();
    shop.0.signal("-TERM");
    let retry = events.last_retry().await;
    assert!(retry.is_some(), "told when to come back");
    assert!(shop.0.exit().await.success());
    // The server alone would wait half a minute for a stream.
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_library_leaves_the_process_to_its_app() {
    let mut shop = Shop::open().await;
    let mut events = Events::open(shop.get("ann", "/orders")).await;
    shop.order("ann", "x").await;
    events.next().await;
    let status = shop.0.proc("status");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    // The app's SIGTERM, and what Rust's runtime has: SIGBUS and SIGSEGV.
    let signals: Vec<_> = (1..=31).filter(|signal| caught >> (signal - 1) & 1 == 1).collect();
    assert_eq!(signals, [7, 11, 15]);
    shop.0.signal("-TERM");
    drop(events);
    assert!(shop.0.exit().await.success());
    assert_eq!(shop.0.stderr().await, "", "nothing is logged where the app has no logger");
}

#[tokio::test]
async fn a_library_brings_nothing_of_the_program() {
    let tree = async |args: &[&str]| {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--edges=normal", "--prefix=none", "--format={p}"])
            .args(args)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output();
        let tree = String::from_utf8(tree.await.unwrap().stdout).unwrap();
        let names = tree.lines().filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<std::collections::HashSet<_>>()
    };
    let (program, library) = (tree(&[]).await, tree(&["--no-default-features"]).await);
    let program_only = [
        "anstream",
        "awc",
        "clap",
        "env_logger",
        "rlimit",
        "rustix",
        "sse-stream",
        "tikv-jemallocator",
        "toml",
    ];
    for name in program_only {
        assert!(program.contains(name) && !library.contains(name), "{name}");
    }
    for name in ["rustls", "fjall", "redis", "h2", "tokio-rustls", "brotli"] {
        assert!(!library.contains(name), "{name}");
    }
    assert!(library.contains("actix-web"));
}
