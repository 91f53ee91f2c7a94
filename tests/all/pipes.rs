//! `herald publish` and `herald tail` among other programs, and on a terminal.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

use crate::{
    hub::{Hub, signal, until, within},
    tools::{herald, line, publish, run, tail, told},
};

/// Runs a line of shell, with `herald` on its path and `HERALD_URL` set. Returns what it printed.
async fn shell(hub: &Hub, script: &str) -> String {
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_herald")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .env("PATH", path)
        .env("HERALD_URL", hub.url(""))
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within(output).await.unwrap();
    assert!(output.status.success(), "{script}: {}", told(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a line of shell on a terminal.
async fn on_terminal(hub: &Hub, script: &str) -> String {
    shell(hub, &format!("TERM=xterm script --quiet --return --command '{script}' /dev/null")).await
}

/// A server that gives every connection the same answer, and then ends it.
async fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            // What is left unread would turn the end into a reset.
            tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
        }
    });
    url
}

async fn status(mut child: Child) -> Option<i32> {
    within(child.wait()).await.unwrap().code()
}

#[tokio::test]
async fn a_reader_that_leaves_ends_tail_at_once() {
    let hub = Hub::start().await;
    let (child, lines) = tail(&hub, &["demo"]).await;
    drop(lines);
    assert_eq!(status(child).await, Some(0));
    hub.publish("demo", "1").await;
    hub.publish("demo", "2").await;
    assert_eq!(shell(&hub, "herald tail demo --last 2 | head -n 1").await, "1\n");
}

#[tokio::test]
async fn a_slow_reader_of_tail_loses_nothing() {
    let hub = Hub::start_with(&["--stall", "1s", "--send-buffer", "16KiB"]).await;
    let (_child, mut lines) = tail(&hub, &["demo"]).await;
    for number in 0..40 {
        hub.publish("demo", format!("{number} {}", "x".repeat(500_000))).await;
    }
    // The hub gives it up; it comes back when it is read again.
    until(async || hub.subscribers("demo").await == 0).await;
    for number in 0..40 {
        let line = line(&mut lines).await;
        assert_eq!(line.split_once(' ').unwrap().0, number.to_string());
        assert_eq!(line.len(), 500_001 + number.to_string().len());
    }
}

#[tokio::test]
async fn json_lines_are_for_other_programs() {
    let hub = Hub::start().await;
    hub.publish("demo", r#"{"total":7}"#).await;
    hub.publish("demo", "two\nlines \u{2028} \u{1b}").await;
    let total = "herald tail demo --last 2 --limit 1 --json | jq '.data | fromjson | .total'";
    assert_eq!(shell(&hub, total).await, "7\n");
    let data = "herald tail demo --last 1 --limit 1 --json | jq --join-output .data";
    assert_eq!(shell(&hub, data).await, "two\nlines \u{2028} \u{1b}");
}

#[tokio::test]
async fn an_interrupted_publish_publishes_what_it_has_read() {
    let hub = Hub::start().await;
    let (child, mut stdin) = publish(&hub, &["--lines"]);
    let pid = child.id().unwrap();
    stdin.write_all(b"1\n").await.unwrap();
    until(async || hub.kept("/events/demo").await.len() == 1).await;
    hub.signal("-STOP");
    let read = bytes_read(pid);
    stdin.write_all(b"2\n3\n").await.unwrap();
    until(async || bytes_read(pid) >= read + 4).await;
    signal(pid, "-INT");
    hub.signal("-CONT");
    let output = within(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(told(&output), "herald: interrupted; 3 lines are published\n");
    assert_eq!(hub.kept("/events/demo").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_publish_that_is_interrupted_twice_ends_at_once() {
    let hub = Hub::start().await;
    let (mut child, mut stdin) = publish(&hub, &["--lines"]);
    let pid = child.id().unwrap();
    let mut warnings = BufReader::new(child.stderr.take().unwrap()).lines();
    hub.kill().await;
    stdin.write_all(b"1\n").await.unwrap();
    assert!(within(warnings.next_line()).await.unwrap().unwrap().contains("trying again"));
    signal(pid, "-TERM");
    assert!(within(warnings.next_line()).await.unwrap().unwrap().contains("trying again"));
    signal(pid, "-TERM");
    assert_eq!(status(child).await, Some(143));
}

/// What a process has read so far.
fn bytes_read(pid: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_next_line() {
    let hub = Hub::start().await;
    let url = hub.url("");
    let mut publish = herald(&["publish", "--url", &url, "a//b", "--lines"]);
    let mut child = publish.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x\n").await.unwrap();
    assert_eq!(status(child).await, Some(1));
}

#[tokio::test]
async fn a_hub_that_takes_little_at_a_time_gets_every_line() {
    let hub = Hub::start_with(&["--max-batch", "7", "--max-body", "1KiB"]).await;
    let (child, mut stdin) = publish(&hub, &["--lines"]);
    let lines: Vec<_> = (0..1_000).map(|number| format!("{number:>0$}", number % 300)).collect();
    stdin.write_all((lines.join("\n") + "\n").as_bytes()).await.unwrap();
    drop(stdin);
    assert_eq!(status(child).await, Some(0));
    assert_eq!(hub.kept("/events/demo").await, lines);
}

#[tokio::test]
async fn the_line_that_is_refused_is_named_and_those_before_it_are_published() {
    let hub = Hub::start_with(&["--max-body", "1KiB"]).await;
    let (child, mut stdin) = publish(&hub, &["--lines"]);
    let text = (1..=99).map(|number| format!("{number}\n")).collect::<String>();
    stdin.write_all(format!("{text}{}\nafter\n", "x".repeat(2_000)).as_bytes()).await.unwrap();
    drop(stdin);
    let output = within(child.wait_with_output()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).starts_with("herald: line 100: the body is larger"), "{}", told(&output));
    assert_eq!(hub.kept("/events/demo").await.len(), 99);
}

#[tokio::test]
async fn a_publication_whose_answer_is_lost_is_repeated_and_delivered_once() {
    let hub = Hub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let port = hub.port;
    tokio::spawn(async move {
        for percent in [Some(0), Some(20), Some(90), None] {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            if let Some(percent) = percent {
                let (mut question, mut back) = near.split();
                let (mut answer, mut to) = far.split();
                let mut buffer = [0; 4096];
                let length = tokio::select! {
                    _ = tokio::io::copy(&mut question, &mut to) => 0,
                    length = answer.read(&mut buffer) => length.unwrap(),
                };
                back.write_all(&buffer[..length * percent / 100]).await.unwrap();
                continue;
            }
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    let output = run(&["publish", "--url", &url, "demo", "once"]).await;
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(told(&output).matches("trying again").count(), 3);
    assert_eq!(hub.kept("/events/demo").await, ["once"]);
}

#[tokio::test]
async fn a_key_makes_a_script_that_is_run_twice_publish_once() {
    let hub = Hub::start().await;
    let script = "herald publish demo released --idempotency-key v1.2.3";
    shell(&hub, &format!("{script}; {script}")).await;
    assert_eq!(hub.kept("/events/demo").await, ["released"]);
}

#[tokio::test]
async fn what_no_hub_could_be_at_is_a_mistake_of_the_command_line() {
    for url in [
        "ftp://localhost:1",
        "localhost:1",
        "",
        "http://",
        "http://[::1",
        "http://localhost:99999",
        "http://me:secret@localhost:1",
        "http://localhost:1?a=b",
        "http://localhost:1/#f",
    ] {
        for command in
            [&["tail", "--url", url, "demo"][..], &["publish", "--url", url, "demo", "x"]]
        {
            let output = run(command).await;
            assert_eq!(output.status.code(), Some(2), "{url}");
            assert!(told(&output).contains("--url"), "{}", told(&output));
        }
    }
    for word in [
        &["tail", "demo", "--last-event-id", "a\nb"],
        &["publish", "demo", "--idempotency-key", "a\nb"],
    ] {
        assert_eq!(run(word).await.status.code(), Some(2));
    }
}

#[tokio::test]
async fn a_urls_last_slash_is_dropped_and_its_path_kept() {
    let hub = Hub::start().await;
    let url = format!("{}/", hub.url(""));
    assert!(run(&["publish", "--url", &url, "demo", "x"]).await.status.success());
    let missing = run(&["publish", "--url", &format!("{url}live"), "demo", "x"]).await;
    assert!(told(&missing).contains("nothing is served at this path"));
}

#[tokio::test]
async fn a_silent_hub_is_left_and_found_again() {
    let hub = Hub::start_with(&["--ping", "100ms"]).await;
    let (mut child, mut lines) = tail(&hub, &["demo", "--silence", "1s"]).await;
    let mut warnings = BufReader::new(child.stderr.take().unwrap()).lines();
    hub.signal("-STOP");
    assert!(within(warnings.next_line()).await.unwrap().unwrap().contains("silent"));
    hub.signal("-CONT");
    hub.publish("demo", "still here").await;
    assert_eq!(line(&mut lines).await, "still here");
}

#[tokio::test]
async fn what_is_no_hub_is_told_apart() {
    let page =
        answering("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi")
            .await;
    let missing = answering("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
    for url in [&page, &missing] {
        for command in
            [&["tail", "--url", url, "demo"][..], &["publish", "--url", url, "demo", "x"]]
        {
            let output = run(command).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(told(&output).contains("not a hub's"), "{}", told(&output));
        }
    }
}

#[tokio::test]
async fn a_hub_that_is_away_is_waited_for_and_then_given_up() {
    let busy = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await;
    for url in [&busy, "http://127.0.0.1:1"] {
        for command in
            [&["tail", "--url", url, "demo"][..], &["publish", "--url", url, "demo", "x"]]
        {
            let output = run(&[command, &["--patience", "400ms"]].concat()).await;
            assert_eq!(output.status.code(), Some(3));
            assert!(told(&output).contains("trying again"), "{}", told(&output));
        }
    }
}

#[tokio::test]
async fn a_hub_that_takes_connections_and_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let flags = ["--url", &url, "--patience", "1s", "demo"];
    let tail = run(&[&["tail", "--silence", "500ms"][..], &flags].concat()).await;
    assert!(told(&tail).contains("the hub is silent"), "{}", told(&tail));
    let publish = run(&[&["publish"][..], &flags, &["x"]].concat()).await;
    assert_eq!((tail.status.code(), publish.status.code()), (Some(3), Some(3)));
}

#[tokio::test]
async fn patience_is_for_the_time_that_a_hub_is_away() {
    let hub = Hub::start_with(&["--ping", "100ms"]).await;
    let port = hub.port;
    let (mut child, mut lines) = tail(&hub, &["demo", "--patience", "1s"]).await;
    let mut warnings = BufReader::new(child.stderr.take().unwrap()).lines();
    // It has been there for longer than that, and told to come back at once.
    hub.pings(12).await;
    hub.publish("demo?retry=0", "before").await;
    assert_eq!(line(&mut lines).await, "before");
    hub.kill().await;
    assert!(within(warnings.next_line()).await.unwrap().unwrap().contains("trying again"));
    let hub = Hub::start_on(port, &[]).await;
    until(async || hub.subscribers("demo").await == 1).await;
    hub.publish("demo", "after").await;
    assert_eq!(line(&mut lines).await, "after");
}

#[tokio::test]
async fn progress_is_told_on_a_terminal_only() {
    let hub = Hub::start().await;
    let shown = on_terminal(&hub, "seq 3000 | herald publish demo --lines").await;
    assert!(shown.contains("\r3000 lines in "), "{shown:?}");
    let refused = on_terminal(&hub, "seq 9 | herald publish a//b --lines || echo failed").await;
    assert!(!refused.contains("lines in") && refused.contains("failed"), "{refused:?}");
    assert_eq!(shell(&hub, "seq 3000 | herald publish demo --lines 2>&1").await, "");
}

#[tokio::test]
async fn colours_are_for_terminals_and_a_publishers_escapes_for_nobodys() {
    let hub = Hub::start().await;
    shell(&hub, "printf '\\e[2J<b>\\tx' | herald publish demo --event alarm").await;
    let tail = "herald tail demo --last 1 --limit 1";
    let shown = on_terminal(&hub, tail).await;
    assert!(shown.contains("\x1b[36malarm\x1b[0m \u{fffd}[2J<b>\tx"), "{shown:?}");
    let plain = on_terminal(&hub, &format!("NO_COLOR=1 {tail}")).await;
    assert!(plain.contains("alarm \u{fffd}[2J<b>") && !plain.contains('\x1b'), "{plain:?}");
    assert_eq!(shell(&hub, tail).await, "\x1b[2J<b>\tx\n", "other programs get it as it is");
    let foul = "HTTP/1.1 400 Bad Request\r\nContent-Length: 34\r\n\r\n{\"detail\":\"\\u001b[2J\\nherald: ok\"}";
    let url = answering(foul).await;
    let told = on_terminal(&hub, &format!("! herald publish demo x --url {url}")).await;
    assert!(told.contains("herald: \u{fffd}[2J herald: ok"), "{told:?}");
}

#[tokio::test]
async fn help_shows_examples_and_exit_statuses() {
    for command in ["publish", "tail"] {
        let help = String::from_utf8(run(&[command, "--help"]).await.stdout).unwrap();
        assert!(help.contains("Examples:") && help.contains("Exit status:"), "{help}");
    }
}
