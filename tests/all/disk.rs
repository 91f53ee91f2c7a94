//! The journal on disk: what a restart, a kill and a broken disk leave of it.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::{
    hub::{Hub, answered, herald_on, until, within},
    tools::{run, told},
    witness::Witnesses,
};

fn place(directory: &TempDir) -> String {
    format!("disk:{}", directory.path().display())
}

async fn start(directory: &TempDir) -> Hub {
    Hub::start_with(&["--journal", &place(directory)]).await
}

#[tokio::test]
async fn a_restart_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let hub = start(&directory).await;
    let birth = hub.subscribe("/events/demo").await.last_event_id.unwrap();
    let first = hub.publish("demo", "1").await;
    answered(hub.post("/events/demo?id=own&event=order&private=1", "2\nlines")).await;
    hub.publish("other/channel", "3").await;
    let keyed = async |hub: &Hub, data: &'static str| {
        hub.post("/events/demo", data).header("Idempotency-Key", "k").send().await.unwrap()
    };
    let receipt = keyed(&hub, "4").await.text().await.unwrap();
    hub.kill().await;

    let mut hub = start(&directory).await;
    assert_eq!(hub.kept("/events/demo").await, ["1", "2\nlines", "4"]);
    assert_eq!(hub.resume("/events/demo", &birth).await.data().await, "1");
    let mut events = hub.resume("/events/demo", &first).await;
    let second = events.next().await;
    assert_eq!((second.id.as_deref(), second.event.as_deref()), (Some("own"), Some("order")));
    assert_eq!(hub.resume("/events/demo", "own").await.data().await, "4");
    assert_eq!(hub.kept("/events/*/channel").await, ["3"]);
    assert_eq!(keyed(&hub, "4").await.text().await.unwrap(), receipt, "a key lives on");
    assert_eq!(keyed(&hub, "5").await.status(), 422);
    let channel = answered(hub.get("/channels/demo")).await;
    assert_eq!((channel["events"].as_u64(), &channel["last_id"]), (Some(3), &receipt_id(&receipt)));
    hub.signal("-TERM");
    assert!(hub.exit().await.success());

    let hub = start(&directory).await;
    let mut events = hub.resume("/events/demo", receipt_id(&receipt).as_str().unwrap()).await;
    let last = hub.publish("demo", "6").await;
    let event = events.next().await;
    assert_eq!((event.event, event.id), (None, Some(last)), "what comes next, and no gap");
    assert_eq!(hub.kept("/events/demo").await, ["1", "2\nlines", "4", "6"]);
}

fn receipt_id(receipt: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(receipt).unwrap()["id"].clone()
}

/// How often the hub is killed.
const KILLS: usize = 200;

#[tokio::test]
async fn a_hub_that_is_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let hub = start(&directory).await;
    let port = hub.port;
    let witnesses = Witnesses::start(&[port], 4, 3);
    hub.kill().await;
    for _ in 0..KILLS {
        let mut herald = herald_on(port);
        herald.args(["--journal", &place(&directory)]).stdout(Stdio::null());
        let mut process = herald.kill_on_drop(true).spawn().unwrap();
        // At any moment of its work, its start included.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        process.kill().await.unwrap();
    }
    let hub = Hub::start_on(port, &["--journal", &place(&directory)]).await;
    let acknowledged = witnesses.acknowledged();
    let kept = witnesses.all_agree(&hub).await;
    assert!(acknowledged > KILLS && kept >= acknowledged, "{kept} : {acknowledged}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let _hub = start(&directory).await;
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (place, why) in [
        (place(&directory), "another process uses it"),
        (format!("disk:{}", file.display()), "exists"),
        ("disk:/proc/herald".into(), "No such file or directory"),
    ] {
        let output = run(&["--listen", "127.0.0.1:0", "--admin", "off", "--journal", &place]).await;
        let path = place.trim_start_matches("disk:");
        let told = told(&output);
        assert!(told.contains(path) && told.contains(why), "{told}");
        assert_eq!(output.status.code(), Some(1));
    }
}

/// A directory with some events, and the file of the write-ahead log that has them.
async fn left_behind() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let hub = start(&directory).await;
    for number in 0..20 {
        hub.publish("demo", format!("event {number}")).await;
    }
    hub.kill().await;
    let log = directory.path().join("store/0.jnl");
    (directory, log)
}

#[tokio::test]
async fn the_end_of_the_log_that_a_crash_tore_is_repaired_and_told() {
    let (directory, log) = left_behind().await;
    let bytes = std::fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    std::fs::write(&log, &bytes[..end - 3]).unwrap();
    let mut herald = herald_on(0);
    herald.args(["--journal", &place(&directory)]).stderr(Stdio::piped());
    let mut hub = Hub::run(herald).await;
    let kept = hub.kept("/events/demo").await;
    assert_eq!(kept, (0..19).map(|number| format!("event {number}")).collect::<Vec<_>>());
    hub.publish("demo", "more").await;
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
    let told = hub.stderr().await;
    let path = directory.path().display().to_string();
    assert!(told.contains("repaired the end") && told.contains(&path), "{told}");
}

/// What a hub says that does not start, if it does not.
async fn refusal(directory: &TempDir) -> Option<String> {
    let mut herald = herald_on(0);
    herald.args(["--journal", &place(directory)]).kill_on_drop(true);
    let mut process = herald.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    match within(lines.next_line()).await.unwrap() {
        Some(_serves) => {
            // The directory is its own until it is gone.
            process.kill().await.unwrap();
            None
        }
        None => Some(told(&within(process.wait_with_output()).await.unwrap())),
    }
}

#[tokio::test]
async fn a_damaged_log_is_refused_and_left_as_it_is() {
    let (directory, log) = left_behind().await;
    let whole = std::fs::read(&log).unwrap();
    let find = |text: &str| memchr::memmem::find(&whole, text.as_bytes()).unwrap();
    let (third, fourth) = (find("event 3"), find("event 4"));
    for place_of_damage in (third..fourth).step_by(3) {
        let mut bytes = whole.clone();
        bytes[place_of_damage] ^= 0x55;
        std::fs::write(&log, &bytes).unwrap();
        // The second time because the first may not mend it either.
        for _ in 0..2 {
            let Some(told) = refusal(&directory).await else {
                // What was changed does not matter.
                let hub = start(&directory).await;
                assert_eq!(hub.kept("/events/demo").await.len(), 20);
                hub.kill().await;
                break;
            };
            assert!(told.contains(&directory.path().display().to_string()), "{told}");
            assert!(told.contains("corrupt") || told.contains("damaged"), "{told}");
            assert!(std::fs::read(&log).unwrap() == bytes, "not as it was");
        }
    }
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(start(&directory).await.kept("/events/demo").await.len(), 20);
}

/// Damages the commit that has an event, so that the log cannot be read from there on.
fn damage(log: &mut [u8], event: &str) -> usize {
    let start = memchr::memmem::find(log, event.as_bytes()).unwrap();
    let state = start + memchr::memmem::find(&log[start..], b"\xffherald state\xff").unwrap();
    // The head of an entry of the log, before its key.
    log[state - 24..state].fill(0xff);
    start
}

/// Whether the store has a file of so many bytes beside its log.
fn has_table(directory: &TempDir, bytes: u64) -> bool {
    let files = |path: PathBuf| std::fs::read_dir(path).into_iter().flatten().flatten();
    files(directory.path().join("store/keyspaces"))
        .flat_map(|keyspace| files(keyspace.path().join("tables")))
        .any(|table| table.metadata().is_ok_and(|table| table.len() > bytes))
}

#[tokio::test]
async fn what_is_kept_of_a_damaged_log_is_found_by_channel_and_by_pattern_and_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let mut hub = start(&directory).await;
    // So much that the events are in files beside the log when their index is not.
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(300_000).collect();
    for number in 0..60 {
        hub.publish("noise", &noise).await;
        if number % 6 == 0 {
            hub.publish(&format!("quiet/{number}"), format!("event {number}.")).await;
        }
    }
    until(async || has_table(&directory, 1 << 20)).await;
    // Not killed, for it may be at that file still.
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
    let log = directory.path().join("store/0.jnl");
    let mut bytes = std::fs::read(&log).unwrap();
    damage(&mut bytes, "event 12.");
    std::fs::write(&log, &bytes).unwrap();
    let told = refusal(&directory).await.unwrap();
    assert!(told.contains("--sync never"), "{told}");

    let careless = async |flags: &[&str]| {
        let place = place(&directory);
        Hub::start_with(&[&["--journal", &place, "--sync", "never"], flags].concat()).await
    };
    let count = async |hub: &Hub, channel: &str| {
        answered(hub.get(&format!("/channels/{channel}"))).await["events"].as_u64().unwrap()
    };
    let hub = careless(&[]).await;
    let all = hub.kept("/events/**").await;
    let (quiet, noisy): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|data| data.starts_with("event"));
    assert!(quiet.len() > 2, "what was in other files is kept: {quiet:?}");
    assert_eq!(hub.kept("/events/quiet/*").await, quiet);
    assert_eq!(hub.kept("/events/quiet/0").await, ["event 0."]);
    assert_eq!(count(&hub, "quiet/0").await, 1);
    assert_eq!(count(&hub, "noise").await, noisy.len() as u64);
    hub.publish("quiet/0", "more").await;
    assert_eq!(hub.kept("/events/quiet/*").await, [&quiet[..], &["more".into()]].concat());
    hub.kill().await;

    let hub = careless(&["--history-events", "1"]).await;
    until(async || count(&hub, "noise").await == 0).await;
    assert_eq!(hub.kept("/events/**").await, ["more"]);
    assert_eq!(count(&hub, "quiet/0").await, 1);
}

#[tokio::test]
async fn a_start_that_is_killed_before_it_has_judged_the_log_leaves_it_to_the_next() {
    let (directory, log) = left_behind().await;
    let whole = std::fs::read(&log).unwrap();
    let mut bytes = whole.clone();
    let place_of_damage = damage(&mut bytes, "event 3");
    // As the storage engine leaves it.
    std::fs::write(&log, &bytes[..place_of_damage]).unwrap();
    let original = directory.path().join("originals/0.jnl");
    std::fs::write(&original, &bytes).unwrap();
    let told = refusal(&directory).await.unwrap();
    assert!(told.contains("damaged"), "{told}");
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(start(&directory).await.kept("/events/demo").await.len(), 20);
}
