//! The pages and the modules for browsers. What they do is held to by `tests/browser`.

use reqwest::{RequestBuilder, Response, header::HeaderMap};

use crate::{
    hub::{Hub, refused, within},
    mint::SECRET,
};

async fn response(request: RequestBuilder) -> Response {
    within(request.send()).await.unwrap()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn pages_and_modules_are_served_with_their_types() {
    let hub = Hub::start().await;
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/demo/react", "text/html; charset=utf-8"),
        ("/static/herald.js", "text/javascript; charset=utf-8"),
        ("/static/dashboard/dashboard.css", "text/css; charset=utf-8"),
    ] {
        let response = response(hub.get(path)).await;
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers().clone();
        assert_eq!(header(&headers, "content-type"), content_type, "{path}");
        assert_eq!(header(&headers, "x-content-type-options"), "nosniff");
        assert!(header(&headers, "content-security-policy").contains("script-src 'self'"));
        assert!(!within(response.text()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_browser_that_has_a_file_is_not_sent_it_again() {
    let hub = Hub::start().await;
    let first = response(hub.get("/static/herald.js")).await;
    let tag = header(first.headers(), "etag").to_owned();
    assert_eq!(header(first.headers(), "cache-control"), "no-cache");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
        let request = hub.get("/static/herald.js").header("if-none-match", &known);
        let again = response(request).await;
        assert_eq!(again.status(), 304, "{known}");
        assert_eq!(header(again.headers(), "etag"), tag);
        assert!(within(again.text()).await.unwrap().is_empty());
    }
    for unknown in ["\"other\"", "garbage", ""] {
        let request = hub.get("/static/herald.js").header("if-none-match", unknown);
        assert_eq!(response(request).await.status(), 200, "{unknown:?}");
    }
}

#[tokio::test]
async fn nothing_else_is_served_of_the_machine() {
    let hub = Hub::start().await;
    for path in [
        "/static",
        "/static/",
        "/static/dashboard",
        "/static/package.json",
        "/static/%2e%2e/Cargo.toml",
        "/static/..%2fCargo.toml",
        "/static//etc/passwd",
        "/static/herald.js/",
        "/static/herald.js%00",
        "/demo",
    ] {
        refused(hub.get(path), 404).await;
    }
    refused(hub.post("/static/herald.js", "x"), 405).await;
}

#[tokio::test]
async fn pages_need_no_token_for_they_tell_nothing() {
    let hub = Hub::start_with(&["--jwt-key", SECRET]).await;
    for path in ["/", "/static/herald.js"] {
        assert_eq!(response(hub.get(path)).await.status(), 200, "{path}");
    }
}
