//! `herald publish` and `herald tail`.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use crate::hub::{Hub, until, within};

pub(crate) fn herald(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herald"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

pub(crate) async fn run(args: &[&str]) -> Output {
    within(herald(args).output()).await.unwrap()
}

pub(crate) fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) async fn tail(hub: &Hub, args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let url = hub.url("");
    let before = hub.subscribers("demo").await;
    let mut child = herald(&[&["tail", "--url", &url], args].concat()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until(async || hub.subscribers("demo").await > before).await;
    (child, lines)
}

/// `herald publish` to the channel `demo`, and its standard input.
pub(crate) fn publish(hub: &Hub, args: &[&str]) -> (Child, ChildStdin) {
    let url = hub.url("");
    let mut command = herald(&[&["publish", "--url", &url, "demo"], args].concat());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

pub(crate) async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    within(lines.next_line()).await.unwrap().expect("a line")
}

#[tokio::test]
async fn what_is_published_is_followed() {
    let hub = Hub::start().await;
    let url = hub.url("");
    let (mut child, mut lines) = tail(&hub, &["demo", "--limit", "2"]).await;
    assert!(run(&["publish", "--url", &url, "demo", "hello"]).await.status.success());
    assert!(
        run(&["publish", "--url", &url, "demo", "a\nb", "--event", "x y", "--id", "i&d"])
            .await
            .status
            .success()
    );
    assert_eq!(line(&mut lines).await, "hello");
    assert_eq!((line(&mut lines).await, line(&mut lines).await), ("a".into(), "b".into()));
    assert!(within(child.wait()).await.unwrap().success());
    let output = run(&[
        "tail",
        "--url",
        &url,
        "demo",
        "--json",
        "--last-event-id",
        "earliest",
        "--limit",
        "2",
    ])
    .await;
    let second: Value =
        serde_json::from_slice(output.stdout.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap();
    assert_eq!(second, serde_json::json!({ "id": "i&d", "event": "x y", "data": "a\nb" }));
}

#[tokio::test]
async fn lines_are_published_as_they_come() {
    let hub = Hub::start().await;
    let (_tail, mut lines) = tail(&hub, &["demo"]).await;
    let (mut publish, mut stdin) = publish(&hub, &["--lines"]);
    for text in ["one", "", " three \u{fc}"] {
        stdin.write_all(format!("{text}\n").as_bytes()).await.unwrap();
        assert_eq!(line(&mut lines).await, text);
    }
    let many: String = (0..2_000).map(|number| format!("{number}\r\n")).collect();
    stdin.write_all(many.as_bytes()).await.unwrap();
    drop(stdin);
    for number in 0..2_000 {
        assert_eq!(line(&mut lines).await, number.to_string());
    }
    assert!(within(publish.wait()).await.unwrap().success());
}

#[tokio::test]
async fn lines_before_a_bad_one_are_published() {
    let hub = Hub::start().await;
    let (mut publish, mut stdin) = publish(&hub, &["--lines"]);
    let large = "x".repeat(900_000);
    stdin.write_all(format!("a\nb\n{large}\n{large}\nc\n").as_bytes()).await.unwrap();
    stdin.write_all(b"\xff\nd\n").await.unwrap();
    drop(stdin);
    assert_eq!(within(publish.wait()).await.unwrap().code(), Some(1));
    assert_eq!(hub.kept("/events/demo").await, ["a", "b", &large, &large, "c"]);
}

#[tokio::test]
async fn standard_input_is_one_event() {
    let hub = Hub::start().await;
    let (mut publish, mut stdin) = publish(&hub, &[]);
    stdin.write_all(b"a\nb\n").await.unwrap();
    drop(stdin);
    assert!(within(publish.wait()).await.unwrap().success());
    assert_eq!(hub.kept("/events/demo").await, ["a\nb"]);
}

#[tokio::test]
async fn a_restart_of_the_hub_ends_neither_publish_nor_tail() {
    let hub = Hub::start().await;
    let port = hub.port;
    let (_tail, mut lines) = tail(&hub, &["demo"]).await;
    let (_publish, mut stdin) = publish(&hub, &["--lines"]);
    stdin.write_all(b"before\n").await.unwrap();
    assert_eq!(line(&mut lines).await, "before");
    hub.kill().await;
    stdin.write_all(b"between\n").await.unwrap();
    let hub = Hub::start_on(port, &[]).await;
    until(async || hub.subscribers("demo").await == 1).await;
    stdin.write_all(b"after\n").await.unwrap();
    // A line whose acknowledgement died with the hub is published again.
    let mut next = line(&mut lines).await;
    if next == "before" {
        next = line(&mut lines).await;
    }
    assert_eq!((next, line(&mut lines).await), ("between".into(), "after".into()));
}
