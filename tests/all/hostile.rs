//! Peers that mean harm, or are merely slow.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::hub::{Hub, until, within};

/// The processor time that the hub takes in a second.
async fn load(hub: &Hub) -> Duration {
    let before = hub.cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    hub.cpu() - before
}

/// A connection that keeps little unread, so that the hub soon notices that nobody reads.
async fn narrow(hub: &Hub, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(([127, 0, 0, 1], hub.port).into()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// More requests than actix-http queues, and more bytes than it reads ahead.
fn stuffing(path: &str) -> String {
    let filling = "x".repeat(7_000);
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX: {filling}\r\n\r\n").repeat(60)
}

pub(crate) async fn keeps_no_worker_busy(hub: &Hub, mut stream: TcpStream, path: &str) {
    // The hub may close the connection meanwhile, which is what is wanted.
    let stuffing = stuffing(path);
    let stuff = stream.write_all(stuffing.as_bytes());
    let _ = tokio::time::timeout(Duration::from_millis(300), stuff).await;
    assert!(load(hub).await < Duration::from_millis(200), "{path}: busy while the client is there");
    drop(stream);
    assert!(load(hub).await < Duration::from_millis(200), "{path}: busy after the client is gone");
}

#[tokio::test]
async fn requests_stuffed_behind_a_stream_keep_no_worker_busy() {
    let hub = Hub::start().await;
    for path in ["/events/demo", "/time"] {
        let mut stream = hub.raw(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let mut first = [0; 64];
        within(stream.read(&mut first)).await.unwrap();
        keeps_no_worker_busy(&hub, stream, path).await;
    }
    until(async || hub.subscribers("demo").await == 0).await;
}

#[tokio::test]
async fn requests_stuffed_behind_an_unread_stream_keep_no_worker_busy() {
    let hub = Hub::start().await;
    for number in 0..20 {
        hub.publish("demo", format!("{number}{}", "x".repeat(100_000))).await;
    }
    let path = "/events/demo?last_event_id=earliest";
    let stream = narrow(&hub, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
    until(async || hub.subscribers("demo").await == 1).await;
    // Nothing to read for the hub, and no room to write: it is at rest.
    until(async || load(&hub).await < Duration::from_millis(20)).await;
    keeps_no_worker_busy(&hub, stream, path).await;
    until(async || hub.subscribers("demo").await == 0).await;
}

#[tokio::test]
async fn a_crowd_that_stuffs_keeps_no_worker_busy() {
    let hub = Hub::start_with(&["--workers", "1"]).await;
    let mut crowd = Vec::new();
    for number in 0..200 {
        let path = if number % 2 == 0 { "/time" } else { "/events/busy" };
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        crowd.push(hub.raw(request).await);
    }
    until(async || hub.subscribers("busy").await == 100).await;
    let stuffing = stuffing("/time");
    for stream in &mut crowd {
        let stuff = stream.write_all(stuffing.as_bytes());
        let _ = tokio::time::timeout(Duration::from_millis(100), stuff).await;
        hub.publish("busy", "x").await;
    }
    until(async || load(&hub).await < Duration::from_millis(200)).await;
    assert_eq!(hub.subscribers("busy").await, 0, "cut, every one");
}

#[tokio::test]
async fn answers_that_nobody_reads_keep_no_worker_busy() {
    let hub = Hub::start().await;
    for path in ["/", "/channels", "/nothing"] {
        keeps_no_worker_busy(&hub, narrow(&hub, "").await, path).await;
    }
}

#[tokio::test]
async fn a_subscriber_that_stops_reading_harms_nobody_and_resumes_whole() {
    let hub = Hub::start_with(&["--stall", "2s", "--history-bytes", "16MiB"]).await;
    let mut reader = hub.subscribe("/events/demo").await;
    let first = hub.publish("demo", "first").await;
    let stopped = narrow(&hub, "GET /events/demo HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    until(async || hub.subscribers("demo").await == 2).await;
    let mut memory = 0;
    let event = "x".repeat(100_000);
    assert_eq!(reader.data().await, "first");
    for number in 0..1_000 {
        let sent = Instant::now();
        hub.publish("demo", format!("{number} {event}")).await;
        assert!(reader.data().await.starts_with(&format!("{number} ")));
        assert!(sent.elapsed() < Duration::from_secs(2), "held up");
        if number == 300 {
            memory = hub.memory();
        }
    }
    let grown = hub.memory().saturating_sub(memory);
    assert!(grown < 20 * 1024, "memory grew by {grown} KiB");
    until(async || hub.subscribers("demo").await == 1).await;
    drop(stopped);
    // What it missed is partly gone: it is told, and gets what is left without a hole.
    let mut resumed = hub.resume("/events/demo", &first).await;
    assert_eq!(resumed.next().await.event.as_deref(), Some("gap"));
    let number = async |events: &mut crate::hub::Events| -> usize {
        events.data().await.split(' ').next().unwrap().parse().unwrap()
    };
    let mut expected = number(&mut resumed).await;
    while expected < 999 {
        expected += 1;
        assert_eq!(number(&mut resumed).await, expected);
    }
}

#[tokio::test]
async fn a_crowd_that_comes_and_goes_leaves_nothing_behind() {
    let hub = Hub::start().await;
    let crowd = async |size: usize| {
        let mut streams = Vec::new();
        for number in 0..size {
            let request =
                format!("GET /events/crowd/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", number % 50);
            streams.push(hub.raw(request).await);
        }
        until(async || hub.subscribers("crowd/0").await == size as u64 / 50).await;
        drop(streams);
        until(async || hub.subscribers("crowd/0").await == 0).await;
    };
    crowd(1_000).await;
    crowd(1_000).await;
    let (memory, files) = (hub.memory(), hub.open_files());
    for _ in 0..8 {
        crowd(1_000).await;
    }
    until(async || hub.open_files() <= files + 2).await;
    let grown = hub.memory().saturating_sub(memory);
    assert!(grown < 8 * 1024, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn half_a_request_is_given_up() {
    let hub = Hub::start().await;
    let start = Instant::now();
    let answer = hub.raw_answer("GET /events/demo HTTP/1.1\r\nHos").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_reader_of_a_byte_at_a_time_holds_up_nobody() {
    let hub = Hub::start().await;
    let mut slow = narrow(&hub, "GET /events/demo HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut fast = hub.subscribe("/events/demo").await;
    until(async || hub.subscribers("demo").await == 2).await;
    for _ in 0..10 {
        hub.publish("demo", "x".repeat(100_000)).await;
        fast.next().await;
    }
    let drip = async {
        let mut byte = [0];
        for _ in 0..1_000 {
            assert_eq!(slow.read(&mut byte).await.unwrap(), 1, "cut off while it was reading");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (load, ()) = tokio::join!(load(&hub), drip);
    assert!(load < Duration::from_millis(100), "busy with a slow reader: {load:?}");
    hub.publish("demo", "next").await;
    assert_eq!(fast.data().await, "next");
    assert_eq!(hub.subscribers("demo").await, 2);
}

#[tokio::test]
async fn unread_answers_do_not_hold_up_publishing() {
    let hub = Hub::start().await;
    let request = "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx";
    let mut deaf = narrow(&hub, "").await;
    let flood = async {
        for _ in 0..2_000 {
            deaf.write_all(request.repeat(10).as_bytes()).await?;
        }
        Ok::<_, std::io::Error>(())
    };
    // It may get stuck: that is its own affair.
    let _ = tokio::time::timeout(Duration::from_secs(2), flood).await;
    let sent = Instant::now();
    hub.publish("demo", "y").await;
    assert!(sent.elapsed() < Duration::from_secs(1));
}
