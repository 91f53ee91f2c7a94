//! Many nodes over one Redis: what an event and a subscriber can rely on, whatever happens to each.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};

use crate::{
    cable::Cable,
    hub::{Events, Hub, answered, herald_on, refused, until, within},
    redis_server::RedisServer,
    tools::{run, told},
    witness::Witnesses,
};

async fn node(redis: &RedisServer) -> Hub {
    Hub::start_with(&["--journal", &redis.url()]).await
}

fn gap(event: sse_stream::Sse) -> Value {
    assert_eq!(event.event.as_deref(), Some("gap"));
    serde_json::from_str(&event.data.unwrap()).unwrap()
}

async fn is_ready(hub: &Hub) -> bool {
    hub.admin("/readyz").await.status() == 200
}

#[tokio::test]
async fn subscribers_of_all_nodes_see_one_order() {
    let redis = RedisServer::start().await;
    let nodes = join_all((0..3).map(|_| node(&redis))).await;
    let mut streams = Vec::new();
    for node in &nodes {
        streams.push(node.subscribe("/events/**").await);
    }
    let publish = async |node: &Hub, number: usize| {
        for count in 0..20 {
            node.publish(&format!("demo/{number}"), format!("{number}.{count}")).await;
        }
    };
    join_all(nodes.iter().enumerate().map(|(number, node)| publish(node, number))).await;
    let mut orders = Vec::new();
    for stream in &mut streams {
        let mut order = Vec::new();
        for _ in 0..60 {
            let event = stream.next().await;
            order.push((event.id.unwrap(), event.data.unwrap()));
        }
        orders.push(order);
    }
    assert!(orders[0].is_sorted_by_key(|(id, _)| {
        let (millis, count) = id.split_once('-').unwrap();
        (millis.parse::<u64>().unwrap(), count.parse::<u64>().unwrap())
    }));
    assert!(orders[0] == orders[1] && orders[1] == orders[2]);
    let (id, _) = &orders[0][29];
    let mut resumed = nodes[1].resume("/events/**", id).await;
    for (_, data) in &orders[0][30..] {
        assert_eq!(resumed.data().await, *data, "a client that hops misses nothing");
    }
}

#[tokio::test]
async fn a_key_is_good_on_every_node_and_after_a_restart() {
    let redis = RedisServer::start().await;
    let (one, other) = (node(&redis).await, node(&redis).await);
    let publish = async |node: &Hub, data: &'static str| {
        let request = node.post("/events/demo?id=own", data).header("Idempotency-Key", "k");
        within(request.send()).await.unwrap()
    };
    let receipt = publish(&one, "1").await.text().await.unwrap();
    assert_eq!(receipt, r#"{"id":"own"}"#);
    assert_eq!(publish(&other, "1").await.text().await.unwrap(), receipt);
    assert_eq!(publish(&other, "2").await.status(), 422);
    let port = one.port;
    one.kill().await;
    other.kill().await;
    let one = Hub::start_on(port, &["--journal", &redis.url()]).await;
    assert_eq!(publish(&one, "1").await.text().await.unwrap(), receipt);
    assert_eq!(one.kept("/events/demo").await, ["1"]);
    let channel = answered(one.get("/channels/demo")).await;
    assert_eq!((&channel["events"], &channel["last_id"]), (&json!(1), &json!("own")));
}

/// A node that is started again and again, whatever has happened to it.
struct Phoenix {
    port: u16,
    journal: String,
    process: Child,
}

impl Phoenix {
    fn rise(port: u16, journal: &str) -> Self {
        let mut herald = herald_on(port);
        herald.args(["--journal", journal, "--drain", "100ms"]);
        let process = herald.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        Self { port, journal: journal.into(), process }
    }

    async fn burn(&mut self) {
        self.process.kill().await.unwrap();
        *self = Self::rise(self.port, &self.journal);
    }
}

#[tokio::test]
async fn nothing_is_lost_whatever_happens_to_nodes_connections_and_redis() {
    // Redis itself must not lose what it has acknowledged.
    let flags = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let mut redis = RedisServer::start_with(&flags).await;
    let cables = join_all((0..3).map(|_| Cable::to(redis.port()))).await;
    let mut nodes = Vec::new();
    for cable in &cables {
        let journal = format!("redis://127.0.0.1:{}", cable.port);
        let first = Hub::start_with(&["--journal", &journal]).await;
        let port = first.port;
        first.kill().await;
        nodes.push(Phoenix::rise(port, &journal));
    }
    let ports: Vec<_> = nodes.iter().map(|node| node.port).collect();
    let witnesses = Witnesses::start(&ports, 4, 6);
    for _ in 0..60 {
        let (node, cable) = (fastrand::usize(..3), &cables[fastrand::usize(..3)]);
        match fastrand::u32(..10) {
            0..4 => nodes[node].burn().await,
            4..6 => cable.cut(),
            6..8 => cable.slow_down(Duration::from_millis(fastrand::u64(..30))),
            8 => {
                redis.signal("-STOP");
                tokio::time::sleep(Duration::from_millis(fastrand::u64(..300))).await;
                redis.signal("-CONT");
            }
            _ => redis.restart().await,
        }
        // Something must have gone well in between.
        let before = witnesses.acknowledged();
        until(async || witnesses.acknowledged() > before + 3).await;
    }
    for cable in &cables {
        cable.slow_down(Duration::ZERO);
    }
    let hub = node(&redis).await;
    let kept = witnesses.all_agree(&hub).await;
    assert!(kept > 200, "only {kept}");
}

#[tokio::test]
async fn while_redis_is_gone_subscribers_stay_and_publishers_are_told() {
    let mut redis =
        RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let journal = redis.url();
    let hub = Hub::start_with(&["--journal", &journal, "--ping", "100ms"]).await;
    let mut stream = hub.subscribe("/events/demo").await;
    hub.publish("demo", "before").await;
    assert_eq!(stream.data().await, "before");
    redis.kill().await;
    until(async || !is_ready(&hub).await).await;
    let answer = within(hub.post("/events/demo", "lost").send()).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    assert!(answer.text().await.unwrap().contains("Idempotency-Key"));
    hub.pings(3).await;
    redis.start_again().await;
    until(async || is_ready(&hub).await).await;
    hub.publish("demo", "after").await;
    assert_eq!(stream.data().await, "after", "nothing twice, nothing missing");
}

#[tokio::test]
async fn connections_that_hang_are_replaced() {
    let redis = RedisServer::start().await;
    let cable = Cable::to(redis.port()).await;
    let hub = Hub::start_with(&["--journal", &format!("redis://127.0.0.1:{}", cable.port)]).await;
    let mut stream = hub.subscribe("/events/demo").await;
    cable.hang();
    until(async || {
        hub.post("/events/demo", "after").send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    assert_eq!(stream.data().await, "after");
}

#[tokio::test]
async fn a_node_on_a_slow_link_catches_up() {
    let redis = RedisServer::start().await;
    let cable = Cable::to(redis.port()).await;
    let hub = Hub::start_with(&["--journal", &format!("redis://127.0.0.1:{}", cable.port)]).await;
    let publisher = node(&redis).await;
    let mut stream = hub.subscribe("/events/demo").await;
    hub.signal("-STOP");
    // 12 MB, of which less than 1 MB comes in a second.
    cable.slow_down(Duration::from_millis(20));
    let data = "x".repeat(60_000);
    let events: Vec<_> = (0..16).map(|_| json!({ "channel": "demo", "data": data })).collect();
    for _ in 0..13 {
        publisher.publish_batch(&json!(events)).await;
    }
    hub.signal("-CONT");
    // What it had asked for before may have come at once.
    for _ in 0..40 {
        assert_eq!(stream.data().await.len(), data.len());
    }
}

#[tokio::test]
async fn a_failover_leads_to_the_new_master() {
    let old = RedisServer::start_with(&["--save", "", "--repl-diskless-sync-delay", "0"]).await;
    let new = RedisServer::start().await;
    let cable = Cable::to(old.port()).await;
    let hub = Hub::start_with(&["--journal", &format!("redis://127.0.0.1:{}", cable.port)]).await;
    let mut stream = hub.subscribe("/events/demo").await;
    hub.publish("demo", "before").await;
    let follow = async |replica: &RedisServer, master: &RedisServer| {
        replica.run(&["replicaof", "127.0.0.1", &master.port().to_string()]).await
    };
    follow(&new, &old).await;
    until(async || new.run(&["info", "replication"]).await.contains("master_link_status:up")).await;
    new.run(&["replicaof", "no", "one"]).await;
    cable.lead_to(new.port());
    follow(&old, &new).await;
    until(async || {
        hub.post("/events/demo", "after").send().await.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    assert_eq!((stream.data().await, stream.data().await), ("before".into(), "after".into()));
}

#[tokio::test]
async fn a_redis_that_has_become_a_replica_is_not_followed() {
    let redis = RedisServer::start().await;
    let hub = node(&redis).await;
    let mut stream = hub.subscribe("/events/demo").await;
    redis.run(&["replicaof", "127.0.0.1", "1"]).await;
    until(async || !is_ready(&hub).await).await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        refused(hub.post("/events/demo", "lost"), 503).await;
        assert!(!is_ready(&hub).await, "however often it is asked");
    }
    redis.run(&["replicaof", "no", "one"]).await;
    until(async || is_ready(&hub).await).await;
    hub.publish("demo", "kept").await;
    assert_eq!(stream.data().await, "kept");
}

#[tokio::test]
async fn a_redis_that_forgets_everything_is_told_to_every_subscriber() {
    let mut redis = RedisServer::start().await;
    let hub = node(&redis).await;
    let (mut stream, mut quiet) =
        (hub.subscribe("/events/demo").await, hub.subscribe("/events/quiet").await);
    let last = hub.publish("demo", "before").await;
    stream.next().await;
    redis.restart().await;
    until(async || is_ready(&hub).await).await;
    let told = stream.next().await;
    let position = told.id.clone().unwrap();
    assert_eq!(gap(told), json!({ "after": last, "oldest": null }));
    assert_eq!(gap(quiet.next().await)["oldest"], Value::Null);
    let next = hub.publish("demo", "after").await;
    assert_eq!(stream.data().await, "after");
    let millis = |id: &str| id.split('-').next().unwrap().parse::<u64>().unwrap();
    assert!(millis(&next) > millis(&last), "ids do not go back");
    assert_eq!(hub.resume("/events/demo", &position).await.data().await, "after");
    assert_eq!(gap(hub.resume("/events/demo", &last).await.next().await)["after"], last);
    // Emptied under its hands, without an end of its connections.
    redis.run(&["flushall"]).await;
    hub.publish("demo", "again").await;
    assert_eq!(gap(stream.next().await)["after"], next);
    assert_eq!(stream.data().await, "again");
}

#[tokio::test]
async fn what_a_failover_loses_is_told_and_nothing_is_repeated() {
    let mut redis = RedisServer::start_with(&["--save", ""]).await;
    // The clock does not tell the next id from one before.
    let ahead = "99999999999999-0";
    let state = ["format", "1", "head", ahead, "floor", ahead, "bytes", "0"];
    redis.run(&[["hset", "{herald}:state"].as_slice(), &state].concat()).await;
    let hub = node(&redis).await;
    let mut stream = hub.subscribe("/events/demo").await;
    let kept = hub.publish("demo", "kept").await;
    assert_eq!(kept, "99999999999999-1");
    redis.run(&["save"]).await;
    // Acknowledged, delivered, and not on the replica that takes over.
    let lost = hub.publish("demo", "lost").await;
    assert_eq!((stream.data().await, stream.data().await), ("kept".into(), "lost".into()));
    redis.restart().await;
    until(async || is_ready(&hub).await).await;
    let told = stream.next().await;
    assert_eq!(told.id.as_ref(), Some(&kept), "it goes on after what is common");
    assert_eq!(gap(told), json!({ "after": lost, "oldest": null }));
    let next = hub.publish("demo", "next").await;
    assert_eq!((lost.as_str(), next.as_str()), ("99999999999999-2", "99999999999999-4"));
    assert_eq!(stream.data().await, "next");
    let mut resumed = hub.resume("/events/demo", &lost).await;
    let told = resumed.next().await;
    assert_eq!(told.id.as_ref(), Some(&kept));
    assert_eq!(gap(told), json!({ "after": lost, "oldest": next }));
    assert_eq!(resumed.data().await, "next");
    assert_eq!(hub.resume("/events/demo", &kept).await.data().await, "next");
}

#[tokio::test]
async fn what_a_failover_loses_before_a_node_has_read_it_is_told_there_too() {
    let mut redis = RedisServer::start_with(&["--save", ""]).await;
    let cable = Cable::to(redis.port()).await;
    let quick = node(&redis).await;
    let late = Hub::start_with(&["--journal", &format!("redis://127.0.0.1:{}", cable.port)]).await;
    let mut streams = [quick.subscribe("/events/demo").await, late.subscribe("/events/demo").await];
    let kept = quick.publish("demo", "kept").await;
    for stream in &mut streams {
        assert_eq!(stream.data().await, "kept");
    }
    redis.run(&["save"]).await;
    cable.hang();
    let lost = quick.publish("demo", "lost").await;
    assert_eq!(streams[0].data().await, "lost");
    redis.restart().await;
    cable.cut();
    until(async || is_ready(&quick).await && is_ready(&late).await).await;
    quick.publish("demo", "next").await;
    for (stream, last) in streams.iter_mut().zip([&lost, &kept]) {
        let told = stream.next().await;
        assert_eq!(told.id.as_ref(), Some(&kept));
        assert_eq!(gap(told)["after"], *last);
        assert_eq!(stream.data().await, "next", "told once");
    }
}

#[tokio::test]
async fn a_node_that_slept_while_the_history_passed_tells_of_a_gap() {
    let redis = RedisServer::start().await;
    let flags = ["--journal", &redis.url(), "--history-events", "5"];
    let (sleeper, other) = (Hub::start_with(&flags).await, Hub::start_with(&flags).await);
    let mut stream = sleeper.subscribe("/events/demo").await;
    let seen = other.publish("demo", "seen").await;
    assert_eq!(stream.data().await, "seen");
    sleeper.signal("-STOP");
    let mut ids = Vec::new();
    for number in 0..9 {
        ids.push(other.publish("demo", number.to_string()).await);
    }
    sleeper.signal("-CONT");
    let (mut told, mut last) = (stream.next().await, &seen);
    if told.data.as_deref() == Some("0") {
        // The answer was on its way when it fell asleep.
        (told, last) = (stream.next().await, &ids[0]);
    }
    assert_eq!(gap(told), json!({ "after": last, "oldest": ids[4] }));
    for number in 4..9 {
        assert_eq!(stream.data().await, number.to_string());
    }
    other.publish("demo", "9").await;
    assert_eq!(stream.data().await, "9");
}

#[tokio::test]
async fn what_is_past_its_age_is_gone_at_once_however_much_it_is() {
    let redis = RedisServer::start().await;
    let hub = Hub::start_with(&["--journal", &redis.url(), "--history-age", "1s"]).await;
    let events: Vec<_> =
        (0..1_000).map(|_| json!({ "channel": "demo", "data": "x", "id": "own" })).collect();
    let first = hub.publish("demo", "first").await;
    for _ in 0..5 {
        hub.publish_batch(&json!(events)).await;
    }
    let last = hub.publish("demo", "last").await;
    let millis = |id: &str| id.split('-').next().unwrap().parse::<u64>().unwrap();
    until(async || {
        let now = redis.run(&["time"]).await;
        now.lines().next().unwrap().parse::<u64>().unwrap() * 1_000 > millis(&last) + 1_000
    })
    .await;
    assert_eq!(hub.kept("/events/demo").await, [""; 0]);
    let told = hub.resume("/events/demo", &first).await.next().await;
    assert_eq!(told.id.as_ref(), Some(&last));
    assert_eq!(gap(told), json!({ "after": first, "oldest": null }));
    assert_eq!(gap(hub.resume("/events/demo", "own").await.next().await)["oldest"], Value::Null);
    assert_eq!(answered(hub.get("/channels")).await["channels"], json!([]));
}

#[tokio::test]
async fn a_full_history_stays_within_its_bounds_however_much_is_published_at_once() {
    let redis = RedisServer::start().await;
    let hub = Hub::start_with(&["--journal", &redis.url(), "--history-events", "100"]).await;
    let events: Vec<_> = (0..1_000).map(|_| json!({ "channel": "a", "data": "" })).collect();
    let batch = json!(events);
    for _ in 0..5 {
        join_all((0..8).map(|_| hub.publish_batch(&batch))).await;
    }
    assert_eq!(redis.run(&["xlen", "{herald}:events"]).await, "100");
}

#[tokio::test]
async fn channels_that_have_gone_hide_none_that_are_there() {
    let redis = RedisServer::start().await;
    let hub = node(&redis).await;
    for name in ["a", "b", "c", "d"] {
        hub.publish(name, "x").await;
    }
    // As they go by themselves once all of it is too old.
    redis.run(&["del", "{herald}:channel:a", "{herald}:channel:c"]).await;
    let page = answered(hub.get("/channels?limit=1")).await;
    assert_eq!((&page["channels"][0]["channel"], &page["more"]), (&json!("b"), &json!(true)));
    let page = answered(hub.get("/channels?limit=1&after=b")).await;
    assert_eq!((&page["channels"][0]["channel"], &page["more"]), (&json!("d"), &json!(false)));
}

#[tokio::test]
async fn an_id_from_a_node_that_is_ahead_is_waited_for() {
    let redis = RedisServer::start().await;
    let cable = Cable::to(redis.port()).await;
    let behind =
        Hub::start_with(&["--journal", &format!("redis://127.0.0.1:{}", cable.port)]).await;
    let ahead = node(&redis).await;
    cable.slow_down(Duration::from_millis(300));
    ahead.publish("demo", "1").await;
    let second = ahead.publish("demo", "2").await;
    let mut stream = behind.resume("/events/demo", &second).await;
    assert_eq!(stream.last_event_id.as_ref(), Some(&second));
    ahead.publish("demo", "3").await;
    assert_eq!(stream.data().await, "3", "neither what it has seen nor a gap");
    let made_up = "99999999999999-0";
    assert_eq!(gap(behind.resume("/events/demo", made_up).await.next().await)["after"], made_up);
}

#[tokio::test]
async fn a_crowd_that_comes_back_to_a_node_reads_redis_once() {
    let redis = RedisServer::start().await;
    let publisher = node(&redis).await;
    let mut first = None;
    let noise = "x".repeat(1_000);
    for _ in 0..100 {
        let batch: Vec<_> = (0..500).map(|_| json!({ "channel": "demo", "data": noise })).collect();
        let ids = publisher.publish_batch(&json!(batch)).await;
        first.get_or_insert(ids[0].clone());
    }
    // More than it has in memory.
    let hub = node(&redis).await;
    let reads = async || {
        let stats = redis.run(&["info", "commandstats"]).await;
        let line = stats.lines().find(|line| line.starts_with("cmdstat_evalsha:")).unwrap();
        let calls = line.split("calls=").nth(1).unwrap().split(',').next().unwrap();
        calls.parse::<u64>().unwrap()
    };
    let before = reads().await;
    let path = "/events/demo?limit=2000";
    let first = first.unwrap();
    let streams = join_all((0..300).map(|_| hub.resume(path, &first))).await;
    for events in join_all(streams.into_iter().map(Events::all)).await {
        assert_eq!(events.len(), 2_000);
    }
    let reads = reads().await - before;
    // Each is placed by a question of its own, and 2,000 events of 1 KB are some 30 reads.
    assert!((1..500).contains(&reads), "{reads} reads for 300 subscribers");
}

#[tokio::test]
async fn a_redis_that_cannot_be_used_is_told_without_its_password() {
    let redis = RedisServer::start_with(&["--save", "", "--requirepass", "hunter2"]).await;
    let port = redis.port();
    for (url, why, status) in [
        (format!("redis://127.0.0.1:{port}"), "Authentication required", 1),
        (format!("redis://:wrong-secret@127.0.0.1:{port}"), "Password", 1),
        (format!("redis://:hunter2@127.0.0.1:{port}/99"), "DB index", 1),
        ("redis://:hunter2@".into(), "address", 1),
        ("valkey://:hunter2@h/".into(), "--journal must be", 2),
    ] {
        let output = run(&["--listen", "127.0.0.1:0", "--admin", "off", "--journal", &url]).await;
        let told = told(&output);
        assert!(
            told.contains(why) && !told.contains("hunter2") && !told.contains("secret"),
            "{told}"
        );
        assert_eq!(output.status.code(), Some(status));
    }
    let mut herald = herald_on(0);
    herald.env("HERALD_JOURNAL", format!("redis://:hunter2@127.0.0.1:{port}/3?key=shop"));
    herald.stderr(Stdio::piped());
    let mut hub = Hub::run(herald).await;
    hub.publish("demo", "1").await;
    let run =
        async |words: &[&str]| redis.run(&[&["-a", "hunter2", "-n", "3"], words].concat()).await;
    assert!(run(&["exists", "{shop}:events"]).await.ends_with('1'));
    run(&["hset", "{shop}:state", "format", "2"]).await;
    assert!(refused(hub.post("/events/demo", "2"), 503).await.contains("HERALDFORMAT"));
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
    let told = hub.stderr().await;
    assert!(!told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_redis_is_reached_over_tls_with_a_user_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
    let no_authority = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-keyout", &file("key"), "-out", &file("cert"), "-days", "1"])
        .args([subject.as_slice(), &no_authority].concat())
        .stderr(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let user = "user herald on >s3cret ~{shop}:* +@all -@admin";
    std::fs::write(file("acl"), user.to_owned() + "\nuser default on nopass ~* +@all\n").unwrap();
    let _redis = RedisServer::start_with(
        &[
            ["--save", "", "--aclfile", &file("acl"), "--tls-port", &free.to_string()].as_slice(),
            &["--tls-cert-file", &file("cert"), "--tls-key-file", &file("key")],
            &["--tls-ca-cert-file", &file("cert"), "--tls-auth-clients", "no"],
        ]
        .concat(),
    )
    .await;
    let url = format!("rediss://herald:s3cret@localhost:{free}/0?key=shop");
    let mut waits = herald_on(0);
    waits.args(["--journal", &url]).stderr(Stdio::piped()).kill_on_drop(true);
    let mut waits = waits.spawn().unwrap();
    let mut lines = BufReader::new(waits.stderr.take().unwrap()).lines();
    let told = within(lines.next_line()).await.unwrap().unwrap();
    assert!(told.contains("certificate") && !told.contains("s3cret"), "{told}");
    let mut herald = herald_on(0);
    herald.args(["--journal", &url]).env("SSL_CERT_FILE", file("cert"));
    let hub = Hub::run(herald).await;
    let mut stream = hub.subscribe("/events/demo").await;
    hub.publish("demo", "safe").await;
    assert_eq!(stream.data().await, "safe");
}

#[tokio::test]
async fn a_node_of_a_redis_cluster_that_has_the_keys_slot_serves() {
    let redis = RedisServer::start_with(&["--save", "", "--cluster-enabled", "yes"]).await;
    assert_eq!(redis.run(&["cluster", "addslotsrange", "0", "16383"]).await, "OK");
    until(async || redis.run(&["cluster", "info"]).await.contains("cluster_state:ok")).await;
    let hub = node(&redis).await;
    let mut stream = hub.subscribe("/events/demo").await;
    let batch = json!([
        { "channel": "demo", "data": "1", "id": "a" },
        { "channels": ["demo", "other/x"], "data": "2" },
    ]);
    assert_eq!(hub.publish_batch(&batch).await[0], "a");
    assert_eq!((stream.data().await, stream.data().await), ("1".into(), "2".into()));
    assert_eq!(hub.kept("/events/*/x").await, ["2"]);
    assert_eq!(hub.resume("/events/demo", "a").await.data().await, "2");
}
