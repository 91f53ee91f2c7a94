//! Other projects' clients against the hub: each follows one stream through all that can happen.
//!
//! An adapter in `tests/clients` is what a client's documentation would have one write; it prints
//! what it is given. Where a client strays from the standard, its test says how.

use std::{fmt, process::Stdio};

use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

use crate::hub::{Hub, answered, until, within};

#[path = "../clients/eventsource_client.rs"]
mod eventsource_client;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/.venv/bin/python");
const ENDED: &str = "the client runs, and goes on; `tests/run` installs what it needs";
const FLAGS: &[&str] = &["--ping", "200ms"];

/// How a client strays from the standard. A bare block is one without data.
#[derive(PartialEq)]
enum Stray {
    /// Drops the id of a bare block, so that it has no position before its first event.
    ForgetsBareIds,
    /// Sends an id as Latin-1, so that the hub cannot place one beyond ASCII, and tells of a gap.
    SendsLatin1,
    /// Cannot send an id beyond ASCII, and ends.
    SendsAsciiOnly,
    /// Hands out a bare block as an event with empty data.
    ShowsBareBlocks,
    /// Takes the spaces from the front of each line of data, and the line ends from its end.
    TrimsLines,
}

use Stray::{ForgetsBareIds, SendsAsciiOnly, SendsLatin1, ShowsBareBlocks, TrimsLines};

#[tokio::test]
async fn chromium_follows_a_stream() {
    follow(program("node", "chromium.mjs"), &[]).await;
}

#[tokio::test]
async fn curl_in_a_loop_follows_a_stream() {
    follow(program("bash", "curl.sh"), &[]).await;
}

#[tokio::test]
async fn npm_eventsource_follows_a_stream() {
    follow(program("node", "eventsource.mjs"), &[ForgetsBareIds, SendsLatin1]).await;
}

#[tokio::test]
async fn npm_eventsource_client_follows_a_stream() {
    follow(program("node", "eventsource-client.mjs"), &[ForgetsBareIds, SendsLatin1]).await;
}

#[tokio::test]
async fn npm_event_source_polyfill_follows_a_stream() {
    follow(program("node", "event-source-polyfill.mjs"), &[ForgetsBareIds]).await;
}

#[tokio::test]
async fn npm_sse_js_follows_a_stream() {
    follow(program("node", "sse.js.mjs"), &[SendsLatin1]).await;
}

#[tokio::test]
async fn python_aiohttp_sse_client2_follows_a_stream() {
    follow(program(PYTHON, "aiohttp-sse-client2.py"), &[ForgetsBareIds, TrimsLines]).await;
}

#[tokio::test]
async fn python_httpx_sse_follows_a_stream() {
    follow(program(PYTHON, "httpx-sse.py"), &[SendsAsciiOnly, ShowsBareBlocks]).await;
}

#[tokio::test]
async fn python_requests_sse_follows_a_stream() {
    follow(program(PYTHON, "requests-sse.py"), &[SendsLatin1, TrimsLines]).await;
}

#[tokio::test]
async fn python_sseclient_py_follows_a_stream() {
    follow(program(PYTHON, "sseclient-py.py"), &[ForgetsBareIds, SendsLatin1]).await;
}

#[tokio::test]
async fn rust_eventsource_client_follows_a_stream() {
    follow(eventsource_client::subscribe, &[ForgetsBareIds]).await;
}

#[test]
fn the_readme_names_the_versions_that_are_tested() {
    let file = |name: &str| std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap();
    let readme = file("../../README.md");
    let package: Value = serde_json::from_str(&file("package.json")).unwrap();
    let npm = package["dependencies"].as_object().unwrap().iter();
    let npm =
        npm.map(|(name, version)| format!("| npm `{name}` | {} |", version.as_str().unwrap()));
    let python = file("requirements.txt");
    let python = python.lines().take_while(|line| !line.is_empty());
    let python = python.map(|line| line.split_once("==").unwrap());
    let python = python.map(|(name, version)| format!("| PyPI `{name}` | {version} |"));
    for row in npm.chain(python) {
        assert!(readme.contains(&row), "{row}");
    }
}

/// Every event once, in order: live, from one stream to the next, and over restarts of the hub.
async fn follow(subscribe: impl FnOnce(String) -> UnboundedReceiver<Event>, strays: &[Stray]) {
    let hub = Hub::start_with(FLAGS).await;
    let mut client = Client { seen: subscribe(hub.url("/events/demo?limit=4")), strays };
    client.subscribes(&hub).await;
    hub.pings(3).await;

    // All that the client was sent is a position.
    let hub = restart(hub).await;
    let missed = publish(&hub, "", "missed").await;
    client.subscribes(&hub).await;
    if strays.contains(&ForgetsBareIds) {
        client.sees(publish(&hub, "", "not missed").await).await;
    } else {
        client.sees_gap().await;
        client.sees(missed).await;
    }

    let mut published = Vec::new();
    for (query, data) in [
        ("", "hello"),
        ("", r#"{"a":[1,2],"b":"\"\\"}"#),
        ("", "žluťoučký kůň 🐎 漢字 a\u{2028}b\u{85}c"),
        ("event=order", "typed"),
        ("id=a%20b%2Fc", "with an id of its own"),
        ("", "one\ntwo\rthree\r\n\r\nfive"),
        ("", "  indented\n   more"),
        ("", ": no comment\nid: no id\ndata"),
        ("", "and two line ends\n\n"),
        ("id=empty", ""),
        ("", &"ü".repeat(512 * 1024 - 1)),
        ("event=order&id=last", "bye"),
    ] {
        published.push(publish(&hub, query, data).await);
    }
    for event in published {
        client.sees(event).await;
    }

    // All that the hub had is forgotten.
    let hub = restart(hub).await;
    let first = publish(&hub, "", "first").await;
    client.subscribes(&hub).await;
    let second = publish(&hub, "", "second").await;
    assert_eq!(client.sees_gap().await["after"], "last");
    client.sees(first).await;
    client.sees(second).await;

    // The fourth is the last of its stream.
    client.sees(publish(&hub, "", "third").await).await;
    client.sees(publish(&hub, "id=%C3%A9", "fourth").await).await;
    let fifth = publish(&hub, "", "fifth").await;
    if strays.contains(&SendsAsciiOnly) {
        assert_eq!(within(client.seen.recv()).await, None);
    } else if strays.contains(&SendsLatin1) {
        assert_eq!(client.sees_gap().await["after"], "\u{fffd}");
    } else {
        client.sees(fifth).await;
    }
}

async fn restart(hub: Hub) -> Hub {
    let port = hub.port;
    hub.kill().await;
    Hub::start_on(port, FLAGS).await
}

/// Publishes an event that also tells clients to come back soon.
async fn publish(hub: &Hub, query: &str, data: &str) -> Event {
    let path = format!("/events/demo?retry=100&{query}");
    let answer = answered(hub.post(&path, data.to_owned())).await;
    Event {
        id: answer["id"].as_str().unwrap().to_owned(),
        event: if query.contains("event=order") { "order" } else { "message" }.to_owned(),
        data: data.replace("\r\n", "\n").replace('\r', "\n"),
    }
}

#[derive(Deserialize, PartialEq)]
struct Event {
    id: String,
    event: String,
    data: String,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:.99?}", self.id, self.event, self.data)
    }
}

struct Client<'a> {
    seen: UnboundedReceiver<Event>,
    strays: &'a [Stray],
}

impl Client<'_> {
    async fn subscribes(&self, hub: &Hub) {
        until(async || {
            assert!(!self.seen.is_closed(), "{ENDED}");
            hub.subscribers("demo").await == 1
        })
        .await;
    }

    async fn next(&mut self) -> Event {
        loop {
            let event = within(self.seen.recv()).await.expect(ENDED);
            let is_bare = event.data.is_empty() && event.id != "empty";
            if !(is_bare && self.strays.contains(&ShowsBareBlocks)) {
                return event;
            }
        }
    }

    /// The next event is this one, or what the client makes of it.
    async fn sees(&mut self, mut event: Event) {
        if self.strays.contains(&TrimsLines) {
            let lines = event.data.split('\n').map(|line| line.trim_start_matches(' '));
            event.data = lines.collect::<Vec<_>>().join("\n").trim_end_matches('\n').to_owned();
        }
        assert_eq!(self.next().await, event);
    }

    async fn sees_gap(&mut self) -> Value {
        let event = self.next().await;
        assert_eq!(event.event, "gap", "{event:?}");
        serde_json::from_str(&event.data).unwrap()
    }
}

/// Starts an adapter, which ends with the test.
fn program(interpreter: &str, adapter: &str) -> impl FnOnce(String) -> UnboundedReceiver<Event> {
    let mut command = Command::new(interpreter);
    command.arg(adapter).current_dir(FOLDER).stdout(Stdio::piped());
    move |url| {
        let mut child = command.arg(url).spawn().expect(ENDED);
        let stdout = child.stdout.take().unwrap();
        let process = Process(child);
        let (sender, seen) = unbounded_channel();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            // Dropped before `lines`: asked to end before its output is closed.
            let _process = process;
            while let Some(line) = lines.next_line().await.unwrap() {
                let _ = sender.send(serde_json::from_str(&line).expect(&line));
            }
        });
        seen
    }
}

struct Process(Child);

impl Drop for Process {
    /// Asks it to end, so that Playwright can end its Chromium and clean up.
    fn drop(&mut self) {
        if let Some(pid) = self.0.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}
