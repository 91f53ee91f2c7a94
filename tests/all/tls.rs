//! HTTPS: certificates, and HTTP/2 with its many streams.

use std::{
    path::{Path, PathBuf},
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::{RecvStream, client::SendRequest};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::{
    hub::{Hub, herald_on, until, within},
    tools::{run, told},
};

/// A certificate for `localhost`, and its key.
struct Certificate(TempDir);

impl Certificate {
    fn new() -> Self {
        let certificate = Self(tempfile::tempdir().unwrap());
        certificate.renew();
        certificate
    }

    /// Writes another in its place.
    fn renew(&self) {
        let output = std::process::Command::new("openssl")
            .args(["req", "-x509", "-nodes", "-newkey", "ec", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-out")
            .arg(self.cert())
            .arg("-keyout")
            .arg(self.key())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn cert(&self) -> PathBuf {
        self.0.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("key.pem")
    }

    async fn hub(&self, flags: &[&str]) -> Hub {
        let mut herald = herald_on(0);
        herald.arg("--tls-cert").arg(self.cert()).arg("--tls-key").arg(self.key()).args(flags);
        Hub::run(herald).await
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.cert()).unwrap()).unwrap();
        roots
    }

    async fn tls(&self, hub: &Hub) -> TlsStream<TcpStream> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let socket = TcpStream::connect(("127.0.0.1", hub.port)).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, socket)).await.unwrap()
    }

    /// A connection that speaks HTTP/2.
    async fn connect(&self, hub: &Hub) -> Http2 {
        let tls = self.tls(hub).await;
        let (requests, connection) = within(h2::client::handshake(tls)).await.unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        Http2 { requests, ended }
    }
}

/// A connection of a client that takes only what it is told to take.
struct Http2 {
    requests: SendRequest<Bytes>,
    ended: tokio::task::JoinHandle<()>,
}

impl Http2 {
    async fn get(&mut self, path: &str) -> http::Response<RecvStream> {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).unwrap();
        let mut requests = within(self.requests.clone().ready()).await.unwrap();
        within(requests.send_request(request, true).unwrap().0).await.unwrap()
    }
}

/// Takes from a stream until it has this text.
async fn take_until(body: &mut RecvStream, text: &str) -> String {
    let mut taken = String::new();
    while !taken.contains(text) {
        let piece = within(body.data()).await.expect("the stream goes on").unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        taken += std::str::from_utf8(&piece).unwrap();
    }
    taken
}

fn curl(cert: &Path, hub: &Hub, path: &str) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["-sSN", "-m", "15", "--cacert"]).arg(cert);
    curl.arg(format!("https://localhost:{}{path}", hub.port));
    curl
}

async fn answer(curl: &mut Command) -> Output {
    within(curl.output()).await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn curl_publishes_and_subscribes_over_http_2_and_http_1() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let mut publish = curl(&certificate.cert(), &hub, "/events/demo");
        let published = answer(publish.args([flag, "-d", version, "-w", "%{http_version}"])).await;
        assert!(text(&published).ends_with(&format!("}}{version}")), "{published:?}");
        let mut last = curl(&certificate.cert(), &hub, "/events/demo?last=1&limit=1");
        let last = answer(last.arg(flag)).await;
        assert!(text(&last).contains(&format!("data: {version}\n")), "{last:?}");
    }
    // Whoever speaks no TLS is sent away.
    let plain = hub.raw_answer("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(!plain.contains("HTTP/1.1 200"), "{plain}");
}

#[tokio::test]
async fn herald_publishes_and_follows_over_https() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    let url = format!("https://localhost:{}", hub.port);
    let trusting = async |args: &[&str]| {
        let mut herald = crate::tools::herald(args);
        within(herald.env("SSL_CERT_FILE", certificate.cert()).output()).await.unwrap()
    };
    let published = trusting(&["publish", "--url", &url, "demo", "hello"]).await;
    assert!(published.status.success(), "{}", told(&published));
    let followed = trusting(&["tail", "--url", &url, "demo", "--last", "1", "--limit", "1"]).await;
    assert!(text(&followed).contains("hello"), "{}", told(&followed));
    // Who asks for no HTTPS needs no certificates.
    let plain = Hub::start().await;
    let mut publish = crate::tools::herald(&["publish", "--url", &plain.url(""), "demo", "x"]);
    let publish = publish.env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    let published = within(publish.output()).await.unwrap();
    assert!(published.status.success(), "{}", told(&published));
    let strange = run(&["publish", "--url", &url, "--patience", "0s", "demo", "hello"]).await;
    assert!(told(&strange).contains("certificate"), "{}", told(&strange));
}

#[tokio::test]
async fn a_refusal_is_read_whole_though_the_body_was_not() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    let body = certificate.0.path().join("body");
    for (bytes, origin, status) in
        [(100_000, "https://evil.example", "403"), (2_000_000, "https://localhost", "413")]
    {
        std::fs::write(&body, "x".repeat(bytes)).unwrap();
        let origin = match status {
            "413" => format!("Origin: {origin}:{}", hub.port),
            _ => format!("Origin: {origin}"),
        };
        for _ in 0..10 {
            let mut publish = curl(&certificate.cert(), &hub, "/events/demo");
            publish.args(["--http2", "-H", &origin, "-w", "%{http_code}", "--data-binary"]);
            let refused = answer(publish.arg(format!("@{}", body.display()))).await;
            let text = text(&refused);
            assert!(text.contains("\"detail\"") && text.ends_with(status), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_who_connects_then_and_ends_no_stream() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    let old = certificate.0.path().join("old.pem");
    let mut held = certificate.connect(&hub).await;
    let mut stream = held.get("/events/demo").await.into_body();
    take_until(&mut stream, "id: ").await;
    for is_told in [true, false] {
        std::fs::copy(certificate.cert(), &old).unwrap();
        certificate.renew();
        if is_told {
            hub.signal("-HUP");
        }
        let publish = |cert: PathBuf| {
            let mut publish = curl(&cert, &hub, "/events/demo");
            publish.args(["-d", "x"]);
            publish
        };
        until(async || answer(&mut publish(certificate.cert())).await.status.success()).await;
        assert!(!answer(&mut publish(old.clone())).await.status.success());
        take_until(&mut stream, "data: x").await;
    }
    // What is no certificate leaves the last one.
    std::fs::write(certificate.key(), "no key").unwrap();
    hub.signal("-HUP");
    let mut publish = curl(&certificate.cert(), &hub, "/events/demo");
    assert!(answer(publish.args(["-d", "y"])).await.status.success());
    take_until(&mut stream, "data: y").await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told() {
    let [one, other] = [Certificate::new(), Certificate::new()];
    let nothing = one.0.path().join("nothing.pem");
    std::fs::write(&nothing, "").unwrap();
    let nowhere = PathBuf::from("/nowhere.pem");
    for (cert, key, why) in [
        (&nowhere, &one.key(), "/nowhere.pem"),
        (&one.cert(), &nowhere, "/nowhere.pem"),
        (&nothing, &one.key(), "nothing.pem"),
        (&one.cert(), &nothing, "nothing.pem"),
        (&one.cert(), &other.key(), "key.pem"),
    ] {
        let (cert, key) = (cert.to_str().unwrap(), key.to_str().unwrap());
        let serve = ["--listen", "127.0.0.1:0", "--admin", "off"];
        let output = run(&[&serve[..], &["--tls-cert", cert, "--tls-key", key]].concat()).await;
        assert_eq!(output.status.code(), Some(1));
        assert!(told(&output).contains(why), "{}", told(&output));
    }
    let half = run(&["--tls-cert", one.cert().to_str().unwrap()]).await;
    assert!(told(&half).contains("--tls-key"), "{}", told(&half));
}

#[tokio::test]
async fn a_connection_has_so_many_streams_and_no_more() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    let mut client = certificate.connect(&hub).await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        let response = client.get("/events/demo").await;
        assert_eq!(response.status(), 200);
        streams.push(response);
    }
    let refused = client.get("/events/demo").await;
    assert_eq!(refused.status(), 503);
    drop(refused);
    streams.pop();
    // A ping or an event tells the hub that a stream was given up.
    until(async || {
        let mut publish = curl(&certificate.cert(), &hub, "/events/demo");
        assert!(answer(publish.args(["-d", "x"])).await.status.success());
        client.get("/events/demo?wait=0").await.status() == 200
    })
    .await;
    let mut other = certificate.connect(&hub).await;
    assert_eq!(other.get("/events/demo").await.status(), 200);
}

#[tokio::test]
async fn a_stream_that_takes_nothing_ends_its_connection_and_no_other() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&["--stall", "2s"]).await;
    let mut stalled = certificate.connect(&hub).await;
    // Whose window stays as it is.
    let _unread = stalled.get("/events/demo").await.into_body();
    let mut idle = certificate.connect(&hub).await;
    let mut quiet = idle.get("/events/quiet").await.into_body();
    let mut reading = certificate.connect(&hub).await;
    let mut read = reading.get("/events/demo").await.into_body();
    let body = certificate.0.path().join("body");
    std::fs::write(&body, "x".repeat(50_000)).unwrap();
    let publish = async |channel: &str, body: String| {
        let mut publish = curl(&certificate.cert(), &hub, &format!("/events/{channel}"));
        assert!(answer(publish.args(["--data-binary", &body])).await.status.success());
    };
    for _ in 0..4 {
        publish("demo", format!("@{}", body.display())).await;
    }
    publish("demo", "end".into()).await;
    take_until(&mut read, "data: end").await;
    let since = Instant::now();
    within(&mut stalled.ended).await.unwrap();
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    // One that has nothing to take is not stalled.
    publish("quiet", "still here".into()).await;
    take_until(&mut quiet, "still here").await;
    assert!(!idle.ended.is_finished() && !reading.ended.is_finished());
}

#[tokio::test]
async fn a_header_of_many_fields_in_few_bytes_costs_nothing() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&[]).await;
    let before = hub.cpu();
    for flags in [0x5, 0x1] {
        let mut tls = certificate.tls(&hub).await;
        // GET, https and /, an authority and a name of its own; and then this last again and again.
        let start = [0x82, 0x87, 0x84, 0x41, 1, b'a', 0x40, 1, b'x', 1, b'y'];
        let block = [&start[..], &[0xbe; 16_000]].concat();
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[1, flags, 0, 0, 0, 1], &block].concat();
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let sent = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &frame].concat();
        tls.write_all(&sent).await.unwrap();
        // It hears of the end.
        let _ = within(tls.read_to_end(&mut Vec::new())).await;
    }
    assert!(hub.cpu() - before < Duration::from_millis(500), "{:?}", hub.cpu() - before);
    assert_eq!(certificate.connect(&hub).await.get("/channels").await.status(), 200);
}

#[tokio::test]
async fn a_drain_ends_the_streams_of_http_2() {
    let certificate = Certificate::new();
    let mut hub = certificate.hub(&["--drain", "1s"]).await;
    let mut client = certificate.connect(&hub).await;
    let mut stream = client.get("/events/demo").await.into_body();
    take_until(&mut stream, "id: ").await;
    hub.signal("-TERM");
    let mut rest = String::new();
    while let Some(piece) = within(stream.data()).await {
        rest += std::str::from_utf8(&piece.unwrap()).unwrap();
    }
    assert!(rest.contains("retry: "), "{rest}");
    assert!(hub.exit().await.success());
}

#[tokio::test]
async fn half_a_handshake_is_given_up_and_keeps_nobody_out() {
    let certificate = Certificate::new();
    let hub = certificate.hub(&["--workers", "1"]).await;
    let publish = async || {
        let mut publish = curl(&certificate.cert(), &hub, "/events/demo");
        // Sooner than they are given up.
        assert!(answer(publish.args(["-d", "x", "-m", "5"])).await.status.success());
    };
    publish().await;
    let before = hub.open_files();
    let mut half_open = join_all((0..400).map(|_| hub.raw([0x16, 0x03, 0x01]))).await;
    // More than actix-tls would let begin at a time.
    until(async || hub.open_files() >= before + 300).await;
    publish().await;
    join_all(half_open.iter_mut().map(async |stream| {
        let _ = within(stream.read_to_end(&mut Vec::new())).await;
    }))
    .await;
    // Not all that a hub opens is for connections.
    until(async || hub.open_files() <= before + 10).await;
}
