//! The whole HTTP surface under requests that nobody would send.

use std::{
    io::{Read, Seek},
    time::Duration,
};

use fastrand::Rng;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    hub::{Hub, answered, herald_on},
    mint::{SECRET, token},
};

/// How many clients there are at a time, how often each connects, and what it sends then.
const CLIENTS: usize = 16;
const CONNECTIONS: usize = 800;
const REQUESTS: usize = 10;
/// Whoever hears nothing for so long goes: some of what is sent begins a stream, or has no end.
const PATIENCE: Duration = Duration::from_millis(200);

/// What requests are made of.
fn requests(token: &str) -> Vec<Vec<u8>> {
    let batch =
        r#"[{"channel":"a","data":{"b":[1,2]},"event":"c","id":"d","retry":1,"private":true}]"#;
    let with_body = |target: &str, headers: &str, body: &str| {
        let length = body.len();
        format!(
            "{target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        )
    };
    let plain = |target: &str, headers: &str| {
        format!("{target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    [
        with_body("POST /events/demo?event=a&id=b&retry=5&private=1", "", "hello"),
        with_body("POST /events/demo", "Content-Type: application/json\r\n", r#"{"a":"b"}"#),
        with_body("POST /events", "Idempotency-Key: k\r\n", batch),
        with_body("POST /events", "", "{\"channel\":\"a\",\"data\":1}\n{\"channels\":[\"b\"],\"data\":2}\n"),
        with_body("POST /notify", &bearer, "x"),
        with_body("POST /users/a%2Fb/events", &bearer, "x"),
        with_body("POST /revocations", &bearer, r#"{"jti":"a","exp":1}"#),
        plain("DELETE /users/42/streams", &bearer),
        plain("GET /events/demo/*?wait=0&last=3&limit=2", &bearer),
        plain("GET /events?channel=a&channel=b/**&wait=0&since=10m", "Accept: text/event-stream\r\n"),
        plain("GET /events/demo?wait=0", "Last-Event-ID: 1790000000000-1\r\n"),
        plain(&format!("GET /me/events?wait=0&token={token}"), ""),
        plain("GET /channels?prefix=a&after=b&limit=5", &format!("Cookie: herald={token}\r\n")),
        plain("GET /channels/demo", "Origin: https://shop.example\r\n"),
        plain("HEAD /events/demo", "Connection: keep-alive\r\n"),
        plain("GET /", "Accept-Encoding: gzip\r\n"),
        plain("OPTIONS /events/demo", "Origin: a\r\nAccess-Control-Request-Method: POST\r\n"),
        "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".into(),
        "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nhello".into(),
        "POST /events/demo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!".into(),
        "GET /events/demo?wait=0 HTTP/1.0\r\n\r\n".into(),
    ]
    .map(String::into_bytes)
    .into()
}

const MORSELS: [&[u8]; 20] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"%",
    b"%2f",
    b"%00",
    b"%ff",
    b"..",
    b"/",
    b"*",
    b"**",
    b"\xff\xfe",
    b"\xc3\xa9",
    b"\"",
    b"{",
    b"[",
    b":",
    b"99999999999999999999",
    b"A=",
];

/// Changes a request in some places.
fn mutate(rng: &mut Rng, request: &mut Vec<u8>) {
    for _ in 0..rng.usize(1..4) {
        if request.is_empty() {
            return;
        }
        let at = rng.usize(0..request.len());
        let end = (at + rng.usize(0..40)).min(request.len());
        match rng.u8(0..6) {
            0 => request[at] = rng.u8(..),
            1 => drop(request.drain(at..end)),
            2 => drop(request.splice(at..at, MORSELS[rng.usize(0..MORSELS.len())].to_vec())),
            3 => {
                let repeated = request[at..end].repeat(rng.usize(1..20));
                drop(request.splice(at..at, repeated));
            }
            4 => request.truncate(at),
            _ => request[at] ^= 1 << rng.u8(0..8),
        }
    }
}

/// Returns how often it was answered with success, and with refusal.
async fn attack(port: u16, seed: u64, connections: usize, corpus: &[Vec<u8>]) -> [usize; 2] {
    let mut rng = Rng::with_seed(seed);
    let mut answers = [0; 2];
    for _ in 0..connections {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut sent = Vec::new();
        for _ in 0..REQUESTS {
            let mut request = corpus[rng.usize(0..corpus.len())].clone();
            // Whatever follows a request that cannot be read is not read either.
            if rng.u8(0..4) == 0 {
                mutate(&mut rng, &mut request);
            }
            sent.extend(request);
        }
        // A hub that has closed the connection meanwhile need not read it all.
        let _ = stream.write_all(&sent).await;
        let mut heard = Vec::new();
        while let Ok(Ok(1..)) = timeout(PATIENCE, stream.read_buf(&mut heard)).await {}
        for (count, status) in answers.iter_mut().zip(["HTTP/1.1 2", "HTTP/1.1 4"]) {
            *count += memchr::memmem::find_iter(&heard, status).count();
        }
    }
    answers
}

#[tokio::test]
async fn requests_that_nobody_would_send_leave_the_hub_as_it_was() {
    let mut log = tempfile::tempfile().unwrap();
    let mut herald = herald_on(0);
    herald.args(["--jwt-key", SECRET, "--history-events", "100"]);
    herald.args(["--anonymous-subscribe", "**", "--anonymous-publish", "**"]);
    let hub = Hub::run({
        herald.stderr(log.try_clone().unwrap());
        herald
    })
    .await;
    let corpus = requests(&token(&["**"], &["**", "herald/revocations", "user/*"]));
    let seed = fastrand::u64(..);
    let run = async |connections| {
        let clients = (0..CLIENTS)
            .map(|client| attack(hub.port, seed.wrapping_add(client as u64), connections, &corpus));
        let answers = join_all(clients).await;
        answers.iter().fold([0; 2], |sum, answers| [sum[0] + answers[0], sum[1] + answers[1]])
    };
    run(CONNECTIONS / 5).await;
    let before = hub.memory();
    let [served, refused] = run(CONNECTIONS).await;
    assert!(served > 5_000 && refused > 5_000, "{served} {refused}");
    let grown = hub.memory().saturating_sub(before);
    assert!(grown < 8 * 1024, "seed {seed}: {grown} KiB more");
    answered(hub.post("/events/demo", "still here")).await;
    assert_eq!(hub.subscribe("/events/demo?last=1").await.data().await, "still here");
    let mut said = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut said).unwrap();
    assert!(!said.contains("panicked"), "seed {seed}: {said}");
}
