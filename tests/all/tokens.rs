//! Who may do what: tokens, what they grant, where they are carried, and when they end.

use std::{
    io::{Read, Seek},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    hub::{Events, Hub, answered, herald_at, herald_on, refused, within},
    mint::{KeyPair, SECRET, forever, grants, now, signed, token},
    redis_server::RedisServer,
    tools::{run, told},
};

async fn hub_with(flags: &[&str]) -> Hub {
    Hub::start_with(&[&["--jwt-key", SECRET], flags].concat()).await
}

/// The status and the challenge that a request gets.
async fn challenged(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = within(request.send()).await.unwrap();
    let challenge = response.headers().get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), challenge.unwrap_or_default())
}

#[tokio::test]
async fn a_token_allows_what_it_grants_and_no_more() {
    let hub = hub_with(&[]).await;
    let token = token(&["orders/*", "chat"], &["orders/eu", "logs/**"]);
    let get = |path: &str| hub.get(path).query(&[("wait", "0")]);
    for path in ["/events/orders/eu", "/events/chat", "/events/orders/*"] {
        assert_eq!(challenged(get(path)).await, (401, "Bearer".into()), "{path}");
        Events::open(get(path).bearer_auth(&token)).await;
    }
    Events::open(get("/events?channel=chat&channel=orders/us").bearer_auth(&token)).await;
    for (path, refused_channel) in [
        ("/events/orders", "\"orders\""),
        ("/events/orders/**", "\"orders/**\""),
        ("/events/*/eu", "\"*/eu\""),
        ("/events/orders/eu/1", "\"orders/eu/1\""),
        ("/events?channel=chat&channel=secret", "\"secret\""),
        ("/events/logs/a", "\"logs/a\""),
    ] {
        let detail = refused(get(path).bearer_auth(&token), 403).await;
        assert!(detail.contains(refused_channel), "{path}: {detail}");
    }
    for path in ["/events/orders/eu", "/events/logs/a/b"] {
        assert_eq!(challenged(hub.post(path, "x")).await, (401, "Bearer".into()), "{path}");
        answered(hub.post(path, "x").bearer_auth(&token)).await;
    }
    for path in ["/events/orders/us", "/events/chat", "/notify", "/users/42/events"] {
        refused(hub.post(path, "x").bearer_auth(&token), 403).await;
    }
    let batch = |second: &str| {
        let batch = json!([{"channel": "orders/eu", "data": 1}, {"channel": second, "data": 2}]);
        hub.post("/events", batch.to_string()).bearer_auth(&token)
    };
    assert!(refused(batch("orders/us"), 403).await.contains("event 1 of the batch"));
    let batch_of_nobodys = hub.post("/events", json!([{"channel": "a", "data": 1}]).to_string());
    assert_eq!(challenged(batch_of_nobodys).await, (401, "Bearer".into()));
    answered(batch("logs/x")).await;
    let info = get("/channels/orders/eu").bearer_auth(&token);
    assert_eq!(answered(info).await["events"], 2, "a batch is published whole or not at all");
}

#[tokio::test]
async fn a_clock_and_the_list_of_channels_are_not_for_strangers() {
    let hub = hub_with(&[]).await;
    refused(hub.get("/time"), 401).await;
    let token = token(&["seen/*"], &["**"]);
    for channel in ["seen/a", "unseen"] {
        answered(hub.post(&format!("/events/{channel}"), "x").bearer_auth(&token)).await;
    }
    let names = |list: Value| {
        let list = list["channels"].as_array().unwrap().clone();
        list.iter().map(|info| info["channel"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(challenged(hub.get("/channels")).await, (401, "Bearer".into()));
    let list = within(hub.get("/channels").bearer_auth(&token).send()).await.unwrap();
    assert_eq!(list.headers()["cache-control"], "no-store", "it is this caller's");
    assert_eq!(names(answered(hub.get("/channels").bearer_auth(&token)).await), ["seen/a"]);
    refused(hub.get("/channels/unseen").bearer_auth(&token), 403).await;
    refused(hub.get("/channels/unseen"), 401).await;
    assert_eq!(within(hub.get("/").send()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_may_come_in_a_header_in_the_query_or_in_a_cookie() {
    let hub = hub_with(&["--cors-origin", "https://shop.example"]).await;
    let good = token(&["demo"], &["demo"]);
    let subscribe = || hub.get("/events/demo?wait=0");
    let cookie = format!("theme=dark; herald={good}");
    Events::open(subscribe().header("Authorization", format!("bearer {good}"))).await;
    Events::open(subscribe().header("Cookie", &cookie)).await;
    for name in ["token", "access_token", "authorization"] {
        Events::open(subscribe().query(&[(name, &good)])).await;
    }
    // The first of them counts.
    refused(subscribe().query(&[("token", &good)]).bearer_auth("bad"), 401).await;
    refused(subscribe().query(&[("token", "bad")]).header("Cookie", &cookie), 401).await;
    Events::open(subscribe().bearer_auth(&good).header("Cookie", "herald=bad")).await;
    // A proxy's own.
    Events::open(subscribe().query(&[("token", &good)]).basic_auth("user", Some("x"))).await;
    refused(subscribe().query(&[("token", &good), ("access_token", &good)]), 400).await;

    let publish = || hub.post("/events/demo", "x").header("Cookie", &cookie);
    assert!(refused(publish(), 403).await.contains("Origin"));
    for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "https://SHOP.example"] {
        assert!(refused(publish().header("Origin", origin), 403).await.contains("by cookie"));
    }
    answered(publish().header("Origin", "https://shop.example")).await;
    answered(publish().header("Origin", hub.url(""))).await;
    answered(publish().header("Origin", "https://evil.example").bearer_auth(&good)).await;

    let strict = hub_with(&["--no-query-token", "--auth-cookie", "session"]).await;
    refused(strict.get("/events/demo?wait=0").query(&[("token", &good)]), 401).await;
    refused(strict.get("/events/demo?wait=0").header("Cookie", &cookie), 401).await;
    let renamed = format!("session={good}");
    Events::open(strict.get("/events/demo?wait=0").header("Cookie", renamed)).await;
}

#[tokio::test]
async fn every_algorithm_is_taken_from_its_own_key() {
    let pairs = [
        KeyPair::new(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        KeyPair::new(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]),
        KeyPair::new(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        KeyPair::new(&["genpkey", "-algorithm", "ED25519"]),
    ];
    let [rsa, p256, p384, ed] = &pairs;
    let long = SECRET.repeat(2);
    let files = pairs.iter().flat_map(|pair| ["--jwt-public-key-file", pair.public_file()]);
    let flags: Vec<_> = ["--jwt-key", &long].into_iter().chain(files).collect();
    let hub = Hub::start_with(&flags).await;
    let claims = grants(&["demo"], &[]);
    let secret = EncodingKey::from_secret(long.as_bytes());
    let mut tokens = vec![
        signed(Algorithm::HS256, &claims, &secret),
        signed(Algorithm::HS384, &claims, &secret),
        signed(Algorithm::HS512, &claims, &secret),
        signed(Algorithm::ES256, &claims, &p256.ec()),
        signed(Algorithm::ES384, &claims, &p384.ec()),
        signed(Algorithm::EdDSA, &claims, &ed.ed()),
    ];
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    for algorithm in [RS256, RS384, RS512, PS256, PS384, PS512] {
        tokens.push(signed(algorithm, &claims, &rsa.rsa()));
    }
    for token in &tokens {
        Events::open(hub.get("/events/demo?wait=0").bearer_auth(token)).await;
    }
    let other = KeyPair::new(&["genpkey", "-algorithm", "ED25519"]);
    let forged = signed(Algorithm::EdDSA, &claims, &other.ed());
    refused(hub.get("/events/demo?wait=0").bearer_auth(forged), 401).await;
}

/// A server of one file, which counts how often it was asked for.
struct FileServer {
    url: String,
    file: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl FileServer {
    async fn start(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (file, asked) = (Arc::new(Mutex::new(text)), Arc::new(AtomicUsize::new(0)));
        let (served, count) = (file.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                assert!(read > 0);
                count.fetch_add(1, SeqCst);
                let text = served.lock().unwrap().clone();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", text.len());
                stream.write_all((head + &text).as_bytes()).await.unwrap();
            }
        });
        Self { url, file, asked }
    }
}

#[tokio::test]
async fn keys_of_a_set_are_taken_and_a_new_one_is_fetched_once() {
    let [old, new] = [(); 2].map(|()| KeyPair::new(&["genpkey", "-algorithm", "ED25519"]));
    let set = |keys: &[(&KeyPair, &str)]| {
        let keys = keys.iter().map(|(key, id)| key.ed_jwk(id)).collect::<Vec<_>>();
        json!({"keys": keys}).to_string()
    };
    let bearer = |key: &KeyPair, id: &str| {
        let header = Header { kid: Some(id.into()), ..Header::new(Algorithm::EdDSA) };
        encode(&header, &grants(&["demo"], &[]), &key.ed()).unwrap()
    };
    let server = FileServer::start(set(&[(&old, "old")])).await;
    let hub = Hub::start_with(&["--jwks", &server.url]).await;
    let subscribe = |token: String| hub.get("/events/demo?wait=0").bearer_auth(token);
    Events::open(subscribe(bearer(&old, "old"))).await;
    // Signed by a good key, but under another's name.
    refused(subscribe(bearer(&new, "old")), 401).await;
    assert_eq!(server.asked.load(SeqCst), 1);

    *server.file.lock().unwrap() = set(&[(&new, "new")]);
    let many = (0..50).map(|_| Events::open(subscribe(bearer(&new, "new"))));
    futures_util::future::join_all(many).await;
    assert_eq!(server.asked.load(SeqCst), 2, "one fetch for all");
    refused(subscribe(bearer(&old, "old")), 401).await;
    refused(subscribe(bearer(&old, "https://evil.example/keys")), 401).await;
    assert_eq!(server.asked.load(SeqCst), 2, "and no other for a while");

    // Beside a key without a name, which could have signed anything.
    let flags = ["--jwks", &server.url, "--jwt-public-key-file", old.public_file()];
    let hub = Hub::start_with(&flags).await;
    for (key, id) in [(&old, "old"), (&new, "new")] {
        Events::open(hub.get("/events/demo?wait=0").bearer_auth(bearer(key, id))).await;
    }
    let other = KeyPair::new(&["genpkey", "-algorithm", "ED25519"]);
    refused(hub.get("/events/demo").bearer_auth(bearer(&other, "new")), 401).await;

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.json").display().to_string();
    std::fs::write(&file, set(&[(&old, "old")])).unwrap();
    let hub = Hub::start_with(&["--jwks", &file]).await;
    Events::open(hub.get("/events/demo?wait=0").bearer_auth(bearer(&old, "old"))).await;
    std::fs::write(&file, "not any more").unwrap();
    refused(hub.get("/events/demo?wait=0").bearer_auth(bearer(&new, "new")), 401).await;
    Events::open(hub.get("/events/demo?wait=0").bearer_auth(bearer(&old, "old"))).await;
}

/// A token of parts that no library would write.
fn written(header: &Value, claims: &str, signature: &str) -> String {
    let part = |text: &str| {
        let output = std::process::Command::new("python3")
            .args(["-c", "import sys,base64; print(base64.urlsafe_b64encode(sys.argv[1].encode()).rstrip(b'=').decode())", text])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    };
    format!("{}.{}.{signature}", part(&header.to_string()), part(claims))
}

/// The same token with another signature's last bits.
fn bent(token: &str) -> String {
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{rest}.{first}{}", &signature[1..])
}

#[tokio::test]
async fn a_bad_token_is_told_what_is_wrong_with_it() {
    let rsa = KeyPair::new(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let hub = hub_with(&[
        "--jwt-public-key-file",
        rsa.public_file(),
        "--jwt-audience",
        "hub,other",
        "--jwt-issuer",
        "shop",
    ])
    .await;
    let with = |changes: Value| {
        let mut claims = grants(&["**"], &["**"]);
        claims["aud"] = json!(["hub", "elsewhere"]);
        claims["iss"] = json!("shop");
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let hs256 = |claims: &Value| signed(Algorithm::HS256, claims, &secret);
    let good = hs256(&with(json!({})));
    Events::open(hub.get("/events/demo?wait=0").bearer_auth(&good)).await;
    let soon = hs256(&with(json!({"nbf": now() + 50, "exp": now() as f64 + 100.5})));
    Events::open(hub.get("/events/demo?wait=0").bearer_auth(soon)).await;

    let header = |changes: Value| {
        let mut header = Header::new(Algorithm::HS256);
        if let Some(kid) = changes["kid"].as_str() {
            header.kid = Some(kid.into());
        }
        if changes["crit"].is_array() {
            header.crit = Some(vec!["exp".into()]);
        }
        encode(&header, &with(json!({})), &secret).unwrap()
    };
    // The key that others have, taken for a secret.
    let public = EncodingKey::from_secret(&std::fs::read(rsa.public_file()).unwrap());
    let another = EncodingKey::from_secret(b"another secret of thirty-two bytes!");
    let claims = with(json!({})).to_string();
    let cases = [
        ("of another key", signed(Algorithm::HS256, &with(json!({})), &another), "signature"),
        ("bent", bent(&good), "signature"),
        (
            "signed with the public key",
            signed(Algorithm::HS256, &with(json!({})), &public),
            "signature",
        ),
        (
            "of an algorithm that the secret is too short for",
            signed(Algorithm::HS512, &with(json!({})), &secret),
            "no key",
        ),
        ("unsigned", written(&json!({"alg": "none"}), &claims, ""), "no JWT"),
        ("unsigned, in capitals", written(&json!({"alg": "NONE"}), &claims, ""), "no JWT"),
        ("of nonsense", "a.b.c".into(), "no JWT"),
        ("of one part", "abc".into(), "no JWT"),
        ("of four parts", format!("{good}.x"), "no JWT"),
        ("empty", ".".into(), "no JWT"),
        ("oversized", format!("{good}{}", "x".repeat(9_000)), "8192 bytes"),
        ("critical", header(json!({"crit": ["exp"]})), "crit"),
        ("expired", hs256(&with(json!({"exp": now() - 1}))), "expired"),
        ("not valid yet", hs256(&with(json!({"nbf": now() + 100}))), "not valid yet"),
        ("without end", hs256(&with(json!({"exp": null}))), "no `exp`"),
        ("for others", hs256(&with(json!({"aud": "elsewhere"}))), "`aud`"),
        ("for nobody", hs256(&with(json!({"aud": null}))), "`aud`"),
        ("for a number", hs256(&with(json!({"aud": 7}))), "`aud`"),
        ("from elsewhere", hs256(&with(json!({"iss": "mall"}))), "`iss`"),
        ("from nowhere", hs256(&with(json!({"iss": null}))), "`iss`"),
        ("with a text for a date", hs256(&with(json!({"exp": "tomorrow"}))), "claims"),
        ("with a date before all", hs256(&with(json!({"exp": -1}))), "claims"),
        ("with a date beyond all", hs256(&with(json!({"exp": 1e300}))), "claims"),
        (
            "with a bad pattern",
            hs256(&with(json!({"herald": {"subscribe": ["a//b"]}}))),
            "empty segment",
        ),
        (
            "with a text for patterns",
            hs256(&with(json!({"herald": {"subscribe": "**"}}))),
            "claims",
        ),
        (
            "with a mistyped power",
            hs256(&with(json!({"herald": {"subscribes": ["**"]}}))),
            "subscribes",
        ),
        ("of nobody", hs256(&with(json!({"sub": ""}))), "sub"),
    ];
    for (what, token, why) in cases {
        let request = || hub.get("/events/demo?wait=0").bearer_auth(&token);
        let (status, challenge) = challenged(request()).await;
        assert_eq!(status, 401, "a token {what}");
        assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\""));
        let detail = refused(request(), 401).await;
        assert!(detail.contains(why), "a token {what}: {detail}");
        refused(hub.post("/events/demo", "x").bearer_auth(&token), 401).await;
    }
    // A secret without an id is good for every `kid`: nothing is looked for where it points to.
    let elsewhere = header(json!({"kid": "../../etc/passwd"}));
    Events::open(hub.get("/events/demo?wait=0").bearer_auth(elsewhere)).await;
    assert!(hub.get("/channels").bearer_auth(&good).send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn a_claim_that_stands_there_twice_is_refused() {
    let hub = hub_with(&[]).await;
    let twice = format!(
        r#"{{"exp":{0},"exp":{0},"herald":{{"subscribe":["a"],"subscribe":["**"]}}}}"#,
        now() + 100
    );
    let raw: Box<serde_json::value::RawValue> = serde_json::from_str(&twice).unwrap();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = encode(&Header::new(Algorithm::HS256), &raw, &key).unwrap();
    let detail = refused(hub.get("/events/a").bearer_auth(token), 401).await;
    assert!(detail.contains("duplicate"), "{detail}");
}

#[tokio::test]
async fn a_token_without_an_end_is_taken_where_that_is_allowed() {
    let claims = forever(&["demo"]);
    let token = signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    refused(hub_with(&[]).await.get("/events/demo").bearer_auth(&token), 401).await;
    let lax = hub_with(&["--allow-no-exp"]).await;
    Events::open(lax.get("/events/demo?wait=0").bearer_auth(&token)).await;
}

#[tokio::test]
async fn a_stream_ends_within_a_second_of_its_tokens_end() {
    let hub = hub_with(&[]).await;
    let end = now() + 3;
    let mut claims = grants(&["demo", "other/*"], &["demo"]);
    claims["exp"] = json!(end);
    let short = signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(SECRET.as_bytes()));
    let long = token(&["demo"], &["demo"]);
    let mut stays = Events::open(hub.get("/events/demo").bearer_auth(&long)).await;
    let mut ends = Vec::new();
    for path in ["/events/demo", "/events/other/*", "/time"] {
        let events = Events::open(hub.get(path).bearer_auth(&short)).await;
        ends.push(tokio::spawn(
            async move { (path, events.last_retry().await, SystemTime::now()) },
        ));
    }
    answered(hub.post("/events/demo", "x").bearer_auth(&short)).await;
    for end_of_stream in ends {
        let (path, retry, at) = within(end_of_stream).await.unwrap();
        assert!((2_000..=5_000).contains(&retry.unwrap()), "{path}: {retry:?}");
        let late = at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - end as f64;
        assert!((0.0..1.0).contains(&late), "{path}: {late} s late");
    }
    refused(hub.get("/events/demo").bearer_auth(&short), 401).await;
    answered(hub.post("/events/demo", "more").bearer_auth(&long)).await;
    assert_eq!([stays.data().await, stays.data().await], ["x", "more"]);
}

#[tokio::test]
async fn private_events_are_shown_to_those_who_are_granted_them_live_and_later() {
    let hub = hub_with(&["--anonymous-subscribe", "news/**"]).await;
    let all = token(&["news/**"], &["**"]);
    let some = token(&["news/b"], &[]);
    let subscribe = |token: Option<&str>| {
        let request = hub.get("/events/news/*");
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    };
    let mut streams = Vec::new();
    for token in [None, Some(&all), Some(&some)] {
        streams.push(Events::open(subscribe(token.map(String::as_str))).await);
    }
    let publish = |channels: &'static [&'static str], private: bool| {
        let data = format!("{}{}", channels.join("+"), if private { " private" } else { "" });
        let event = json!([{"channels": channels, "data": data, "private": private}]);
        answered(hub.post("/events", event.to_string()).bearer_auth(&all))
    };
    publish(&["news/a"], true).await;
    publish(&["news/a"], false).await;
    publish(&["news/b"], true).await;
    publish(&["news/a", "news/b"], true).await;
    publish(&["news/c"], false).await;
    let anonymous = ["news/a", "news/c"];
    let granted = ["news/a private", "news/a", "news/b private", "news/a+news/b private", "news/c"];
    let partly = ["news/a", "news/b private", "news/a+news/b private", "news/c"];
    let views: [&[&str]; 3] = [&anonymous, &granted, &partly];
    for (stream, expected) in streams.iter_mut().zip(views) {
        for data in expected {
            assert_eq!(stream.data().await, *data);
        }
    }
    for (token, expected) in [None, Some(&all), Some(&some)].into_iter().zip(views) {
        let request = subscribe(token.map(String::as_str));
        let request = request.query(&[("wait", "0"), ("last_event_id", "earliest")]);
        let replayed = Events::open(request).await.all().await;
        let replayed: Vec<_> = replayed.into_iter().map(|event| event.data.unwrap()).collect();
        assert_eq!(replayed, expected);
        // Nor does a gap tell of an older one.
        let lost =
            subscribe(token.map(String::as_str)).query(&[("wait", "0"), ("last_event_id", "?")]);
        let gap = Events::open(lost).await.next().await;
        let oldest = serde_json::from_str::<Value>(&gap.data.unwrap()).unwrap()["oldest"].clone();
        let first = subscribe(token.map(String::as_str)).query(&[
            ("wait", "0"),
            ("last_event_id", "earliest"),
            ("limit", "1"),
        ]);
        assert_eq!(oldest, Events::open(first).await.next().await.id.unwrap());
    }
}

#[tokio::test]
async fn what_is_known_of_channels_tells_strangers_nothing_of_private_events() {
    let hub = hub_with(&["--anonymous-subscribe", "news/**"]).await;
    let all = token(&["news/**"], &["**"]);
    answered(hub.post("/events/news/secret?private=1", "x").bearer_auth(&all)).await;
    let list = answered(hub.get("/channels")).await;
    assert_eq!(list["channels"], json!([]), "not even its name");
    let info = answered(hub.get("/channels/news/secret")).await;
    assert_eq!((&info["events"], &info["last_id"]), (&Value::Null, &Value::Null));
    let _reader = hub.subscribe("/events/news/open").await;
    let list = answered(hub.get("/channels")).await;
    assert_eq!(
        list["channels"],
        json!([{"channel": "news/open", "subscribers": 1, "last_id": null, "events": null}])
    );
    let list = answered(hub.get("/channels").bearer_auth(&all)).await;
    assert_eq!(list["channels"][1]["events"], 1);
}

#[tokio::test]
async fn a_user_has_a_stream_of_their_own() {
    let hub = hub_with(&[]).await;
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let bearer = |sub: &str| {
        let mut claims = grants(&[], &["user/*"]);
        claims["sub"] = json!(sub);
        signed(Algorithm::HS256, &claims, &key)
    };
    for (id, in_path, channel) in [
        ("42", "42", "user/42"),
        ("a/b", "a%2Fb", "user/a%252Fb"),
        ("50%", "50%25", "user/50%2525"),
        ("..", "%2E%2E", "user/%252E%252E"),
        ("José", "Jos%C3%A9", "user/Jos%C3%A9"),
    ] {
        let token = bearer(id);
        let mut mine = Events::open(hub.get("/me/events").bearer_auth(&token)).await;
        let by_name = format!("/events/{channel}");
        let mut named = Events::open(hub.get(&by_name).bearer_auth(&token)).await;
        let path = format!("/users/{in_path}/events?event=mail");
        // A client of its own: others tidy `..` up before they send it.
        let answer = hub
            .raw_answer(format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
                 Content-Length: 1\r\nConnection: close\r\n\r\nx"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        for stream in [&mut mine, &mut named] {
            let event = stream.next().await;
            assert_eq!((event.event.as_deref(), event.data.as_deref()), (Some("mail"), Some("x")));
        }
        refused(hub.get(&by_name).bearer_auth(bearer("somebody else")), 403).await;
    }
    refused(hub.get("/me/events"), 401).await;
    let nobody = token(&["**"], &[]);
    assert!(refused(hub.get("/me/events").bearer_auth(nobody), 403).await.contains("`sub`"));
    refused(hub.post("/users/42/events", "x"), 401).await;
    let other = token(&[], &["users/42"]);
    refused(hub.post("/users/42/events", "x").bearer_auth(other), 403).await;
}

#[tokio::test]
async fn a_token_adds_to_what_everybody_may() {
    let hub = hub_with(&[
        "--anonymous-subscribe",
        "public/**,notices",
        "--anonymous-publish",
        "guestbook",
    ])
    .await;
    let token = token(&["orders"], &["orders"]);
    let subscribe = |query: &str| hub.get(&format!("/events?wait=0&{query}"));
    Events::open(subscribe("channel=public/a&channel=notices")).await;
    refused(subscribe("channel=public/a&channel=orders"), 401).await;
    Events::open(subscribe("channel=public/a&channel=orders").bearer_auth(&token)).await;
    refused(subscribe("channel=notices").bearer_auth("bad"), 401).await;
    answered(hub.post("/events/guestbook", "x")).await;
    answered(hub.post("/events/guestbook", "x").bearer_auth(&token)).await;
    refused(hub.post("/events/orders", "x"), 401).await;
    within(hub.get("/time").send()).await.unwrap().error_for_status().unwrap();
}

#[tokio::test]
async fn pages_of_named_origins_may_ask() {
    let hub = hub_with(&["--cors-origin", "https://shop.example,http://localhost:5173"]).await;
    let preflight = |origin: &str, headers: &str| {
        let request = hub.client.request(reqwest::Method::OPTIONS, hub.url("/events/demo"));
        let request =
            request.header("Origin", origin).header("Access-Control-Request-Method", "POST");
        within(request.header("Access-Control-Request-Headers", headers).send())
    };
    let wanted = "authorization,cache-control,content-type,idempotency-key,last-event-id";
    for origin in ["https://shop.example", "http://localhost:5173"] {
        let answer = preflight(origin, wanted).await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_lowercase();
        assert_eq!(answer.status(), 200);
        assert_eq!(header("access-control-allow-origin"), origin);
        assert_eq!(header("access-control-allow-credentials"), "true");
        for name in wanted.split(',') {
            assert!(header("access-control-allow-headers").contains(name), "{name}");
        }
        let refusal = hub.get("/events/demo").header("Origin", origin).send();
        let refusal = within(refusal).await.unwrap();
        assert_eq!(refusal.status(), 401);
        assert_eq!(refusal.headers()["access-control-allow-origin"], origin, "errors can be read");
    }
    let elsewhere = preflight("https://evil.example", wanted).await.unwrap();
    assert!(!elsewhere.headers().contains_key("access-control-allow-origin"));
    let token = token(&["demo"], &[]);
    let stream = hub.get("/events/demo?wait=0").bearer_auth(&token);
    let stream = within(stream.header("Origin", "https://evil.example").send()).await.unwrap();
    assert!(!stream.headers().contains_key("access-control-allow-origin"));

    let open = hub_with(&["--cors-origin", "*"]).await;
    let any = open.get("/events/demo?wait=0").bearer_auth(&token);
    let any = within(any.header("Origin", "https://any.example").send()).await.unwrap();
    assert_eq!(any.headers()["access-control-allow-origin"], "*");
    let exposed = any.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.to_lowercase().contains("herald-ping"), "{exposed}");
    assert!(!any.headers().contains_key("access-control-allow-credentials"));
    let none = hub_with(&[]).await;
    let own = none.get("/events/demo?wait=0").bearer_auth(&token);
    let own = within(own.header("Origin", "https://any.example").send()).await.unwrap();
    assert!(!own.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_named_origin_is_let_in_to_a_hub_without_a_key() {
    let hub = Hub::start_with(&["--cors-origin", "http://app.example"]).await;
    let post = |origin| hub.post("/events/demo", "x").header("Origin", origin);
    answered(post("http://app.example")).await;
    refused(post("http://evil.example"), 403).await;
    let rebound = post("http://app.example").header("Host", "evil.example");
    refused(rebound, 403).await;
}

#[tokio::test]
async fn herald_makes_tokens_and_shows_them() {
    let hub = hub_with(&[]).await;
    let made = run(&[
        "token",
        "--jwt-key",
        SECRET,
        "--sub",
        "42",
        "--subscribe",
        "orders/*",
        "--publish",
        "orders/eu",
        "--ttl",
        "1h",
    ])
    .await;
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let url = hub.url("");
    let published = run(&["publish", "--url", &url, "--token", &token, "orders/eu", "hello"]).await;
    assert!(published.status.success(), "{}", told(&published));
    let read = run(&[
        "tail",
        "--url",
        &url,
        "--token",
        &token,
        "orders/*",
        "--last-event-id",
        "earliest",
        "--limit",
        "1",
    ])
    .await;
    assert!(String::from_utf8_lossy(&read.stdout).contains("hello"), "{}", told(&read));
    Events::open(hub.get("/me/events?wait=0").bearer_auth(&token)).await;
    // As a file from elsewhere has it.
    let with_return = format!("{token}\r");
    let published =
        run(&["publish", "--url", &url, "--token", &with_return, "orders/eu", "x"]).await;
    assert!(published.status.success(), "{}", told(&published));
    let odd = run(&["publish", "--url", &url, "--token", "se\ncret", "orders/eu", "x"]).await;
    assert!(!odd.status.success() && !told(&odd).contains("cret"), "{}", told(&odd));

    let shown = |key: &'static str, token: String| async move {
        let output = run(&["token", "--jwt-key", key, "--decode", &token]).await;
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let decoded = shown(SECRET, token.clone()).await;
    assert_eq!(decoded["claims"]["herald"]["subscribe"], json!(["orders/*"]));
    assert_eq!((&decoded["header"]["alg"], &decoded["verdict"]), (&json!("HS256"), &json!("good")));
    let other = shown("another secret of thirty-two bytes!", token.clone()).await;
    assert!(other["verdict"].as_str().unwrap().contains("signature"));
    let unchecked = run(&["token", "--decode", &token]).await;
    assert!(String::from_utf8_lossy(&unchecked.stdout).contains("not checked"));
    assert!(told(&run(&["token", "--decode", "x"]).await).contains("no token"));
    assert!(told(&run(&["token", "--sub", "1"]).await).contains("HERALD_JWT_KEY"));
    let refused = told(&run(&["token", "--jwt-key", "short"]).await);
    assert!(refused.contains("5 bytes") && !refused.contains("short"), "{refused}");
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let rsa = KeyPair::new(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    let (short, nonsense) = (file("short", "0123\n"), file("nonsense", "key"));
    let (set, empty) = (file("set", "[]"), file("empty", r#"{"keys":[]}"#));
    for (flags, why) in [
        (vec!["--jwt-key", "too short"], "9 bytes"),
        (vec!["--jwt-key-file", &short], "4 bytes"),
        (vec!["--jwt-key-file", "/nowhere"], "/nowhere"),
        (vec!["--jwt-key-file", rsa.public_file()], "public key"),
        (vec!["--jwt-public-key-file", &nonsense], "nonsense"),
        (vec!["--jwks", &set], "no JSON Web Key Set"),
        (vec!["--jwks", &empty], "without a public key"),
        (vec!["--jwks", "/nowhere"], "/nowhere"),
        (vec!["--jwks", "http://127.0.0.1:1/set"], "127.0.0.1:1"),
        (vec!["--jwt-key", SECRET, "--insecure"], "--insecure"),
        (vec!["--jwt-key", SECRET, "--jwt-key-file", &short], "give one of them"),
        (vec!["--anonymous-subscribe", "a"], "needs a key"),
        (vec!["--cors-origin", "shop.example"], "origin"),
        (vec!["--cors-origin", "https://shop.example/path"], "origin"),
        (vec!["--jwt-key", SECRET, "--anonymous-subscribe", "a//b"], "empty segment"),
    ] {
        let serve = ["--listen", "127.0.0.1:0", "--admin", "off"];
        let output = run(&[&serve[..], &flags].concat()).await;
        let told = told(&output);
        assert!(!output.status.success() && told.contains(why), "{flags:?}: {told}");
    }
}

#[tokio::test]
async fn a_hub_with_a_key_serves_other_machines() {
    let mut herald = herald_at("0.0.0.0:0");
    herald.args(["--jwt-key", SECRET]);
    let hub = Hub::run(herald).await;
    refused(hub.get("/events/demo").header("Host", "hub.example"), 401).await;
}

#[tokio::test]
async fn a_token_is_in_no_log() {
    let mut herald = herald_on(0);
    let mut log = tempfile::tempfile().unwrap();
    herald.args(["--jwt-key", SECRET, "--drain", "0s"]).env("RUST_LOG", "trace");
    herald.stderr(log.try_clone().unwrap());
    let mut hub = Hub::run(herald).await;
    let good = token(&["demo"], &["demo"]);
    let bad = bent(&good);
    for token in [&good, &bad] {
        for request in [
            hub.get("/events/demo?wait=0").query(&[("token", token)]),
            hub.get("/events/demo?wait=0").bearer_auth(token),
            hub.get("/events/demo?wait=0").header("Cookie", format!("herald={token}")),
            hub.get("/events/demo?wait=x").query(&[("token", token)]),
            hub.post("/events/demo", "x").bearer_auth(token),
        ] {
            within(request.send()).await.unwrap().text().await.unwrap();
        }
    }
    hub.signal("-TERM");
    hub.exit().await;
    let mut said = String::new();
    log.rewind().unwrap();
    log.read_to_string(&mut said).unwrap();
    assert!(said.contains("TRACE"), "it logs what it can");
    let signature = good.rsplit('.').next().unwrap();
    for secret in [good.as_str(), bad.as_str(), signature, SECRET] {
        assert!(!said.contains(secret));
    }
}

/// A token of a user's, with an id.
fn session_token(sub: &str, jti: &str) -> String {
    let mut claims = grants(&["demo"], &["demo"]);
    claims["sub"] = json!(sub);
    claims["jti"] = json!(jti);
    signed(Algorithm::HS256, &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}

#[tokio::test]
async fn a_user_who_is_logged_out_has_no_stream_left() {
    let hub = hub_with(&[]).await;
    let admin = token(&[], &["user/*"]);
    let (ann, ann_too, bob) =
        (session_token("ann", "1"), session_token("ann", "2"), session_token("bob", "3"));
    let subscribe = |path: &str, token: &str| Events::open(hub.get(path).bearer_auth(token));
    let ends = [subscribe("/events/demo", &ann).await, subscribe("/me/events", &ann_too).await];
    let mut stays = subscribe("/events/demo", &bob).await;
    let log_out = |user: &str| hub.client.delete(hub.url(&format!("/users/{user}/streams")));
    refused(log_out("ann"), 401).await;
    refused(log_out("ann").bearer_auth(&bob), 403).await;
    let started = Instant::now();
    let answer = within(log_out("ann").bearer_auth(&admin).send()).await.unwrap();
    assert_eq!(answer.status(), 204);
    for stream in ends {
        let retry = stream.last_retry().await;
        assert!((2_000..=5_000).contains(&retry.unwrap()), "{retry:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    answered(hub.post("/events/demo", "x").bearer_auth(&bob)).await;
    assert_eq!(stays.data().await, "x");
    subscribe("/events/demo", &ann).await;
}

#[tokio::test]
async fn a_revoked_token_is_refused_until_it_expires_and_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let journal = format!("disk:{}", directory.path().display());
    let flags = ["--journal", journal.as_str()];
    let hub = hub_with(&flags).await;
    let bad = session_token("ann", "stolen");
    let good = session_token("ann", "other");
    let stream = Events::open(hub.get("/events/demo").bearer_auth(&bad)).await;
    let mut stays = Events::open(hub.get("/events/demo").bearer_auth(&good)).await;
    let notice = json!({"jti": "stolen", "exp": now() + 600}).to_string();
    let by = |publish: &[&str]| {
        hub.post("/revocations", notice.clone()).bearer_auth(token(&[], publish))
    };
    refused(hub.post("/revocations", notice.clone()), 401).await;
    refused(by(&["**"]), 403).await;
    let admin = ["herald/revocations"];
    for nonsense in ["{}", r#"{"jti":"","exp":1}"#, r#"{"jti":"a","exp":"b"}"#, "[]", ""] {
        let request = hub.post("/revocations", nonsense);
        refused(request.bearer_auth(token(&[], &admin)), 400).await;
    }
    let clock = Events::open(hub.get("/time").bearer_auth(&bad)).await;
    assert_eq!(within(by(&admin).send()).await.unwrap().status(), 204);
    assert!(stream.last_retry().await.is_some());
    clock.all().await;
    let refused_everywhere = async |hub: &Hub| {
        for request in [
            hub.get("/events/demo"),
            hub.post("/events/demo", "x"),
            hub.get("/time"),
            hub.get("/channels"),
        ] {
            let detail = refused(request.bearer_auth(&bad), 401).await;
            assert!(detail.contains("revoked"), "{detail}");
        }
    };
    refused_everywhere(&hub).await;
    answered(hub.post("/events/demo", "x").bearer_auth(&good)).await;
    assert_eq!(stays.data().await, "x");
    hub.kill().await;
    let hub = hub_with(&flags).await;
    refused_everywhere(&hub).await;
    answered(hub.post("/events/demo", "x").bearer_auth(&good)).await;
}

#[tokio::test]
async fn log_out_and_revocation_reach_every_node() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let flags = ["--journal", url.as_str()];
    let nodes = [hub_with(&flags).await, hub_with(&flags).await];
    let bad = session_token("ann", "stolen");
    let mut streams = Vec::new();
    for node in &nodes {
        streams.push(Events::open(node.get("/events/demo").bearer_auth(&bad)).await);
    }
    let notice = json!({"jti": "stolen", "exp": now() + 600}).to_string();
    let admin = token(&[], &["herald/revocations", "user/*"]);
    let started = Instant::now();
    let revoke = nodes[0].post("/revocations", notice).bearer_auth(&admin);
    assert_eq!(within(revoke.send()).await.unwrap().status(), 204);
    for stream in streams {
        assert!(stream.last_retry().await.is_some());
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // A node that has no subscriber, and one that comes later, know it too.
    let later = hub_with(&flags).await;
    for node in nodes.iter().chain([&later]) {
        refused(node.post("/events/demo", "x").bearer_auth(&bad), 401).await;
    }
    let bob = session_token("bob", "1");
    let stream = Events::open(nodes[0].get("/me/events").bearer_auth(&bob)).await;
    let log_out = nodes[1].client.delete(nodes[1].url("/users/bob/streams"));
    within(log_out.bearer_auth(&admin).send()).await.unwrap();
    assert!(stream.last_retry().await.is_some());
}

#[tokio::test]
async fn a_revocation_outlives_the_history() {
    let directory = tempfile::tempdir().unwrap();
    let journal = format!("disk:{}", directory.path().display());
    let flags = ["--journal", journal.as_str(), "--history-age", "4s"];
    let hub = hub_with(&flags).await;
    let bad = session_token("ann", "stolen");
    let admin = token(&["herald/revocations"], &["herald/revocations"]);
    let notice = json!({"jti": "stolen", "exp": now() + 600}).to_string();
    let revoke = hub.post("/revocations", notice).bearer_auth(&admin);
    assert_eq!(within(revoke.send()).await.unwrap().status(), 204);
    let notices = hub.get("/events/herald/revocations?last_event_id=earliest");
    let mut notices = Events::open(notices.bearer_auth(&admin)).await;
    for _ in 0..3 {
        assert!(notices.data().await.contains("stolen"));
    }
    hub.kill().await;
    let hub = hub_with(&flags).await;
    refused(hub.get("/events/demo").bearer_auth(&bad), 401).await;
}
