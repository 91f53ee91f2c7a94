//! The journal and its disk: what is synced when, for that is what a power cut leaves; a sync that
//! fails; no room.

use std::{fs, path::Path};

use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    hub::{Hub, answered, herald_on, until},
    witness::Witnesses,
};

/// A hub with a journal on disk, run by another program.
async fn run_by(program: &[&str], directory: &Path, flags: &[&str]) -> Hub {
    let herald = herald_on(0);
    let herald = herald.as_std();
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .arg(herald.get_program())
        .args(herald.get_args())
        .args(["--journal", &format!("disk:{}", directory.display())])
        .args(flags);
    Hub::run(command).await
}

/// The arguments of a strace that writes to `trace` and leaves when its program does.
fn strace(trace: &Path, what: &[&'static str]) -> Vec<String> {
    let strace = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-s", "100000", "-o"];
    let strace = strace.map(str::to_owned).into_iter().chain([trace.display().to_string()]);
    strace.chain(what.iter().map(|word| word.to_string())).collect()
}

async fn run_under_strace(what: &[&'static str], directory: &TempDir, flags: &[&str]) -> Hub {
    let words = strace(&directory.path().join("trace"), what);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    run_by(&words, &directory.path().join("journal"), flags).await
}

/// Whether for each publication that was acknowledged, a sync of what was written of it ended
/// before its answer was sent.
async fn syncs_before_it_answers(policy: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let what = ["-e", "trace=write,fdatasync,sendto"];
    let mut hub = run_under_strace(&what, &directory, &["--sync", policy]).await;
    let publish = async |publisher: usize| {
        for number in 0..10 {
            let path = format!("/events/demo?id=own-{publisher}-{number}.");
            answered(hub.post(&path, "x")).await;
        }
    };
    join_all((0..8).map(publish)).await;
    hub.signal("-TERM");
    assert!(hub.exit().await.success());
    let trace = fs::read_to_string(directory.path().join("trace")).unwrap();
    let lines: Vec<_> = trace.lines().collect();
    let ids = (0..80).map(|number| format!("own-{}-{}.", number % 8, number / 8));
    let are_synced = ids.map(|id| {
        let find = |call| lines.iter().position(|line| line.contains(call) && line.contains(&id));
        let written = find(" write(").expect("each event is written");
        let answered = find(" sendto(").expect("each publisher has its answer");
        let between = lines.get(written..answered).unwrap_or_default();
        between.iter().any(|line| line.contains("fdatasync") && line.ends_with("= 0"))
    });
    are_synced.into_iter().all(|is_synced| is_synced)
}

#[tokio::test]
async fn an_event_is_synced_before_it_is_acknowledged() {
    assert!(syncs_before_it_answers("always").await);
    assert!(!syncs_before_it_answers("never").await, "this test would see it");
}

#[tokio::test]
async fn at_an_interval_an_event_is_synced_after_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let what = ["-e", "trace=write,fdatasync"];
    let hub = run_under_strace(&what, &directory, &["--sync", "interval:50ms"]).await;
    answered(hub.post("/events/demo?id=own-1.", "x")).await;
    until(async || {
        let trace = fs::read_to_string(directory.path().join("trace")).unwrap();
        let written = trace.split_once("own-1.");
        written.is_some_and(|(_, after)| after.contains("fdatasync"))
    })
    .await;
}

#[tokio::test]
async fn a_hub_whose_syncs_fail_goes_on_by_itself_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let what = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=10+20"];
    let hub = run_under_strace(&what, &directory, &[]).await;
    let witnesses = Witnesses::start(&[hub.port], 4, 3);
    until(async || witnesses.acknowledged() > 300).await;
    witnesses.all_agree(&hub).await;
    let trace = fs::read_to_string(directory.path().join("trace")).unwrap();
    assert!(trace.matches("(INJECTED)").count() > 3, "{trace}");
}

#[tokio::test]
async fn a_full_disk_is_told_and_got_over() {
    let directory = tempfile::tempdir().unwrap();
    let script =
        format!("mount -t tmpfs -o size=24m none {} && exec \"$@\"", directory.path().display());
    let program = ["unshare", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
    let journal = directory.path().join("journal");
    let hub = run_by(&program, &journal, &["--history-bytes", "1GiB"]).await;
    let mut acknowledged = Vec::new();
    // Larger than what fits, whatever the journal does to it.
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(500_000).collect();
    let publish = async |number: usize| {
        let data = format!("{number} {}{noise}", fastrand::u64(..));
        (hub.post("/events/demo", data.clone()).send().await.unwrap(), data)
    };
    loop {
        let (answer, data) = publish(acknowledged.len()).await;
        if answer.status() != 200 {
            assert_eq!(answer.status(), 503);
            assert!(answer.headers().contains_key("retry-after"));
            let problem = answer.text().await.unwrap();
            assert!(problem.contains(&journal.display().to_string()), "{problem}");
            break;
        }
        acknowledged.push(data);
    }
    assert!(acknowledged.len() > 10, "only {}", acknowledged.len());
    until(async || hub.admin("/readyz").await.status() == 503).await;
    let remount = format!("mount -o remount,size=256m {}", directory.path().display());
    let enter = ["--target", &hub.pid().to_string(), "--mount", "--user", "sh", "-c", &remount]
        .map(str::to_owned);
    assert!(Command::new("nsenter").args(enter).status().await.unwrap().success());
    until(async || hub.admin("/readyz").await.status() == 200).await;
    let (answer, data) = publish(acknowledged.len()).await;
    assert_eq!(answer.status(), 200);
    acknowledged.push(data);
    let mut kept = hub.kept("/events/demo").await.into_iter();
    for data in acknowledged {
        assert!(kept.any(|other| other == data), "an acknowledged event is lost");
    }
}
